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
        && id.len() == 64
        && id.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Some(service_of_pod(pod));
    }
    let is_generic = GENERIC.iter().any(|name| stem.eq_ignore_ascii_case(name));
    // `09_00`, `2026-03-02`, `log.3`: a part of a series of files.
    let is_numbered = !stem.contains(|c: char| c.is_alphabetic());
    (!is_generic && !is_numbered).then(|| service_of_pod(stem))
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
        for name in ["logs.json", "09_00_log.csv.zst", "2026-03-02.log", "stdout.log", ".log", "error.log"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
