//! The service that a log file's name tells, where its records do not.

use std::path::Path;

use super::signals::service_of_pod;

/// Names of files that hold anybody's logs.
const GENERIC: &[&str] = &[
    "",
    "all",
    "app",
    "application",
    "combined",
    "console",
    "container",
    "current",
    "data",
    "debug",
    "dump",
    "error",
    "errors",
    "events",
    "export",
    "info",
    "input",
    "json",
    "latest",
    "log",
    "logs",
    "logcli",
    "loki",
    "main",
    "merged",
    "messages",
    "out",
    "output",
    "records",
    "result",
    "results",
    "server",
    "service",
    "services",
    "spans",
    "stderr",
    "stdout",
    "syslog",
    "system",
    "telemetry",
    "test",
    "traces",
];

/// Endings that say what a file is, not whose.
const ENDINGS: &[&str] = &[
    ".gz", ".zst", ".json", ".jsonl", ".ndjson", ".csv", ".txt", ".log", "-json", "_json", "_logs", "-logs", "_log",
    "-log",
];

/// The service in the file's name: `checkout.log`, `cart-5f6585d649-fnmft_log.csv`, or the name under which Kubernetes
/// keeps a container's log, `<pod>_<namespace>_<container>-<id>.log`. `None` for names such as `logs.json` or of a date.
pub(crate) fn service_of_file(path: &Path) -> Option<&str> {
    let mut stem = path.file_name()?.to_str()?;
    while let Some(shorter) = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)) {
        stem = shorter;
    }
    let mut parts = stem.split('_');
    if let (Some(pod), Some(_namespace), Some(container), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
        && let Some((_, id)) = container.rsplit_once('-')
        && (id.len() == 64 || service_of_pod(pod) != pod)
        && id.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Some(service_of_pod(pod));
    }
    // kubelet's `<namespace>_<pod>_<uid>/<container>/0.log`, also rotated.
    if stem.starts_with(|c: char| c.is_ascii_digit())
        && let Some(pod) = path.parent().and_then(Path::parent).and_then(pod_of_folder)
    {
        return Some(service_of_pod(pod));
    }
    let is_generic = GENERIC.iter().any(|name| stem.eq_ignore_ascii_case(name));
    // `09_00`, `2026-03-02`, `log.3`: a part of a series of files.
    let is_numbered = !stem.contains(|c: char| c.is_alphabetic());
    (!is_generic && !is_numbered).then(|| service_of_pod(stem))
}

/// The pod in the name of the folder that kubelet keeps its logs in.
fn pod_of_folder(folder: &Path) -> Option<&str> {
    let mut parts = folder.file_name()?.to_str()?.split('_');
    let (_namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_uid = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (parts.next().is_none() && is_uid && !pod.is_empty()).then_some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_in_names() {
        let of = |name: &'static str| service_of_file(Path::new(name));
        assert_eq!(of("a/checkout.log"), Some("checkout"));
        assert_eq!(of("order-service.json.log.gz"), Some("order-service"));
        assert_eq!(of("cart-5f6585d649-fnmft_log.csv.zst"), Some("cart"));
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let name = format!("cart-5f6585d649-fnmft_shop_server-{id}.log");
        assert_eq!(service_of_file(Path::new(&name)), Some("cart"));
        assert_eq!(of("cart-5f6585d649-fnmft_shop_server-0123.log"), Some("cart"));
        let pod = "pods/shop_cart-5f6585d649-fnmft_0a1b2c3d-0000-4000-8000-000000000001/server";
        for name in ["0.log", "0.log.20260302-100000.gz"] {
            assert_eq!(service_of_file(&Path::new(pod).join(name)), Some("cart"), "{name}");
        }
        for name in ["logs.json", "09_00_log.csv.zst", "2026-03-02.log", "stdout.log", ".log", "error.log"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
