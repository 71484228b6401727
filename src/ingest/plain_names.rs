//! What names in plain words mean: columns such as `CpuUsage(m)`, `MemoryUsageRate(%)` or `checkout_latency-90`.
//!
//! A name is cut into words; the first row of [`RULES`] whose words are all there decides the signal, a unit in
//! parentheses or as a word decides the scale, `p90` or `latency-90` the statistic. Nothing here guesses a unit.

use crate::telemetry::series::{Signal, Statistic, Unit};

/// What a name in plain words means.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct PlainMeaning {
    pub(crate) quantity: Quantity,
    pub(crate) statistic: Statistic,
    /// Unit after `scale`; `Unit::None` where the name does not tell.
    pub(crate) unit: Unit,
    /// Factor to the base unit.
    pub(crate) scale: f64,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Quantity {
    /// As it stands.
    Of(Signal),
    /// Share of requests that succeeded: the error ratio is what is missing to the whole.
    Success,
    /// Failed requests: a ratio if the values can be one.
    Errors,
}

/// One rule: every group must have one of its words in the name.
struct Rule {
    words: &'static [&'static [&'static str]],
    quantity: Quantity,
}

const fn rule(words: &'static [&'static [&'static str]], quantity: Quantity) -> Rule {
    Rule { words, quantity }
}

const CPU: &[&str] = &["cpu", "processor"];
const MEMORY: &[&str] = &["memory", "mem", "rss"];
const NODE: &[&str] = &["node", "host", "machine"];
const TIME: &[&str] = &["latency", "duration", "rt", "p50", "p75", "p90", "p95", "p99", "p999"];
const NETWORK: &[&str] = &["network", "net"];

/// Rules, the first that fits counts. Limits come first because `CpuLimit` is no use of processor; the machine's values
/// and the client's latency before those that they would be mistaken for.
const RULES: &[Rule] = &[
    rule(&[&["limit", "limits", "quota", "capacity", "free", "max", "maximum"]], Quantity::Of(Signal::Other)),
    rule(&[NODE, CPU], Quantity::Of(Signal::NodeCpu)),
    rule(&[NODE, MEMORY], Quantity::Of(Signal::NodeMemory)),
    rule(&[NODE], Quantity::Of(Signal::Other)),
    // What a client waits for others is not its own latency.
    rule(&[&["client"], TIME], Quantity::Of(Signal::Other)),
    rule(&[&["success", "availability"]], Quantity::Success),
    rule(&[TIME], Quantity::Of(Signal::Latency)),
    rule(&[&["response"], &["time"]], Quantity::Of(Signal::Latency)),
    rule(&[&["error", "errors", "failure", "failures", "failed", "5xx"]], Quantity::Errors),
    rule(&[&["throttle", "throttled", "throttling"]], Quantity::Of(Signal::CpuThrottling)),
    rule(&[CPU], Quantity::Of(Signal::Cpu)),
    rule(&[MEMORY], Quantity::Of(Signal::Memory)),
    rule(&[&["socket", "sockets", "connection", "connections"]], Quantity::Of(Signal::Sockets)),
    rule(&[&["restart", "restarts"]], Quantity::Of(Signal::Restarts)),
    rule(&[NETWORK, &["receive", "received", "rx", "in", "ingress"]], Quantity::Of(Signal::NetworkReceive)),
    rule(
        &[NETWORK, &["transmit", "transmitted", "tx", "out", "sent", "egress"]],
        Quantity::Of(Signal::NetworkTransmit),
    ),
    rule(&[&["disk", "diskio", "fs", "filesystem", "io", "iops"]], Quantity::Of(Signal::Disk)),
    rule(&[&["syscall", "syscalls"]], Quantity::Of(Signal::Syscalls)),
    rule(
        &[&["request", "requests", "workload", "load", "qps", "rps", "throughput", "traffic"]],
        Quantity::Of(Signal::Requests),
    ),
];

/// Words that tell a unit, with the factor to the base unit. Case counts only in parentheses (`Mi`, `m`, `MB`).
const UNITS: &[(&str, Unit, f64)] = &[
    ("%", Unit::Ratio, 1e-2),
    ("percent", Unit::Ratio, 1e-2),
    ("pct", Unit::Ratio, 1e-2),
    ("ratio", Unit::Ratio, 1.0),
    ("m", Unit::Cores, 1e-3),
    ("millicores", Unit::Cores, 1e-3),
    ("cores", Unit::Cores, 1.0),
    ("s", Unit::Seconds, 1.0),
    ("seconds", Unit::Seconds, 1.0),
    ("ms", Unit::Seconds, 1e-3),
    ("milliseconds", Unit::Seconds, 1e-3),
    ("us", Unit::Seconds, 1e-6),
    ("µs", Unit::Seconds, 1e-6),
    ("microseconds", Unit::Seconds, 1e-6),
    ("ns", Unit::Seconds, 1e-9),
    ("nanoseconds", Unit::Seconds, 1e-9),
    ("B", Unit::Bytes, 1.0),
    ("bytes", Unit::Bytes, 1.0),
    ("KB", Unit::Bytes, 1e3),
    ("MB", Unit::Bytes, 1e6),
    ("GB", Unit::Bytes, 1e9),
    ("Ki", Unit::Bytes, 1024.0),
    ("KiB", Unit::Bytes, 1024.0),
    ("Mi", Unit::Bytes, 1_048_576.0),
    ("MiB", Unit::Bytes, 1_048_576.0),
    ("Gi", Unit::Bytes, 1_073_741_824.0),
    ("GiB", Unit::Bytes, 1_073_741_824.0),
    ("Ops", Unit::PerSecond, 1.0),
    ("ops", Unit::PerSecond, 1.0),
    ("/s", Unit::PerSecond, 1.0),
    ("req/s", Unit::PerSecond, 1.0),
    ("rps", Unit::PerSecond, 1.0),
    ("qps", Unit::PerSecond, 1.0),
    ("B/s", Unit::BytesPerSecond, 1.0),
    ("Bps", Unit::BytesPerSecond, 1.0),
];

/// Reads a name in plain words.
pub(crate) fn read(name: &str) -> PlainMeaning {
    let (plain, in_parentheses) = split_unit(name);
    let words = words(plain);
    let has = |group: &[&str]| words.iter().any(|word| group.contains(&word.as_str()));
    let quantity = RULES
        .iter()
        .find(|rule| rule.words.iter().all(|group| has(group)))
        .map_or(Quantity::Of(Signal::Other), |rule| rule.quantity);
    let (unit, scale) = match in_parentheses {
        Some(text) => UNITS.iter().find(|u| u.0 == text),
        // Short words are units only at the end: `us` may be a region. A single letter is none.
        None => UNITS.iter().find(|u| match u.0.len() {
            ..=1 => false,
            2 => words.last().is_some_and(|last| last == u.0),
            _ => words.iter().any(|word| word == u.0),
        }),
    }
    .map_or((Unit::None, 1.0), |u| (u.1, u.2));
    let is_time = matches!(quantity, Quantity::Of(Signal::Latency)) || has(TIME);
    PlainMeaning { quantity, statistic: statistic(&words, is_time), unit, scale }
}

/// Whether the name begins like a metric's: for telling `order_service` from `cpu_usage`.
pub(crate) fn begins_with_a_metric_word(name: &str) -> bool {
    let words = words(split_unit(name).0);
    let Some(first) = words.first() else { return false };
    RULES.iter().flat_map(|rule| rule.words.iter()).any(|group| group.contains(&first.as_str()))
        || quantile_of(first).is_some()
        || ["container", "process", "jvm", "istio"].contains(&first.as_str())
}

/// `MemoryUsage(Mi)` is `MemoryUsage` and `Mi`.
fn split_unit(name: &str) -> (&str, Option<&str>) {
    let name = name.trim();
    match name.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
        Some((plain, unit)) => (plain, Some(unit)),
        None => (name, None),
    }
}

/// Cuts at everything that is neither letter nor digit, and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for letter in name.chars() {
        let new_word = letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit());
        if (new_word || !letter.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Which statistic the words name; a bare number counts as a quantile only of a time (`latency-90`).
fn statistic(words: &[String], is_time: bool) -> Statistic {
    for (position, word) in words.iter().enumerate() {
        let bare = is_time && position > 0 && matches!(word.as_str(), "50" | "75" | "90" | "95" | "99" | "999");
        let digits = if bare { quantile_digits(word) } else { quantile_of(word) };
        if let Some(quantile) = digits {
            return Statistic::Quantile(quantile);
        }
    }
    Statistic::Mean
}

/// `p90` is 0.9; `median` is 0.5.
fn quantile_of(word: &str) -> Option<f64> {
    if word == "median" {
        return Some(0.5);
    }
    quantile_digits(word.strip_prefix('p')?)
}

/// `90` is 0.9 and `999` is 0.999: two or three digits after the point.
fn quantile_digits(digits: &str) -> Option<f64> {
    match (digits.len(), digits.parse::<u32>()) {
        (2, Ok(value)) => Some(f64::from(value) / 100.0),
        (3, Ok(value)) if value > 100 => Some(f64::from(value) / 1000.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, quantity: Quantity, statistic: Statistic, unit: Unit, scale: f64) {
        assert_eq!(read(name), PlainMeaning { quantity, statistic, unit, scale }, "{name}");
    }

    #[test]
    fn the_columns_of_a_real_recording() {
        let of = Quantity::Of;
        let mean = Statistic::Mean;
        check("CpuUsage(m)", of(Signal::Cpu), mean, Unit::Cores, 1e-3);
        check("CpuUsageRate(%)", of(Signal::Cpu), mean, Unit::Ratio, 1e-2);
        check("MemoryUsage(Mi)", of(Signal::Memory), mean, Unit::Bytes, 1_048_576.0);
        check("MemoryUsageRate(%)", of(Signal::Memory), mean, Unit::Ratio, 1e-2);
        check("SyscallRead", of(Signal::Syscalls), mean, Unit::None, 1.0);
        check("NetworkReceiveBytes", of(Signal::NetworkReceive), mean, Unit::Bytes, 1.0);
        check("NetworkTransmitBytes", of(Signal::NetworkTransmit), mean, Unit::Bytes, 1.0);
        check("PodClientLatencyP90(s)", of(Signal::Other), Statistic::Quantile(0.9), Unit::Seconds, 1.0);
        check("PodServerLatencyP99(s)", of(Signal::Latency), Statistic::Quantile(0.99), Unit::Seconds, 1.0);
        check("PodWorkload(Ops)", of(Signal::Requests), mean, Unit::PerSecond, 1.0);
        check("PodSuccessRate(%)", Quantity::Success, mean, Unit::Ratio, 1e-2);
        check("NodeCpuUsageRate(%)", of(Signal::NodeCpu), mean, Unit::Ratio, 1e-2);
        check("NodeMemoryUsageRate(%)", of(Signal::NodeMemory), mean, Unit::Ratio, 1e-2);
        check("NodeNetworkReceiveBytes", of(Signal::Other), mean, Unit::Bytes, 1.0);
    }

    #[test]
    fn the_other_rules() {
        let of = Quantity::Of;
        let mean = Statistic::Mean;
        check("latency-90", of(Signal::Latency), Statistic::Quantile(0.9), Unit::None, 1.0);
        check("request_latency_p999_ms", of(Signal::Latency), Statistic::Quantile(0.999), Unit::Seconds, 1e-3);
        check("us_east_latency", of(Signal::Latency), mean, Unit::None, 1.0);
        check("response time", of(Signal::Latency), mean, Unit::None, 1.0);
        check("latency_max", of(Signal::Other), mean, Unit::None, 1.0);
        check("memory_limit_bytes", of(Signal::Other), mean, Unit::Bytes, 1.0);
        check("availability", Quantity::Success, mean, Unit::None, 1.0);
        check("error_ratio", Quantity::Errors, mean, Unit::Ratio, 1.0);
        check("cpu_throttled", of(Signal::CpuThrottling), mean, Unit::None, 1.0);
        check("open sockets", of(Signal::Sockets), mean, Unit::None, 1.0);
        check("restarts", of(Signal::Restarts), mean, Unit::None, 1.0);
        check("diskio", of(Signal::Disk), mean, Unit::None, 1.0);
        check("workload", of(Signal::Requests), mean, Unit::None, 1.0);
        check("requests(/s)", of(Signal::Requests), mean, Unit::PerSecond, 1.0);
        check("queue_depth_90", of(Signal::Other), mean, Unit::None, 1.0);
        check("", of(Signal::Other), mean, Unit::None, 1.0);
    }

    #[test]
    fn every_rule_is_reached() {
        // The first word of each group of a rule, together, must lead to that rule's quantity.
        for rule in RULES {
            let name: Vec<&str> = rule.words.iter().map(|group| group[0]).collect();
            assert_eq!(read(&name.join("_")).quantity, rule.quantity, "{name:?}");
        }
        for (unit, expected, scale) in UNITS {
            let meaning = read(&format!("thing({unit})"));
            assert_eq!((meaning.unit, meaning.scale), (*expected, *scale), "{unit}");
        }
    }

    #[test]
    fn metric_words_begin_a_metric_and_service_names_do_not() {
        assert!(begins_with_a_metric_word("cpu_usage"));
        assert!(begins_with_a_metric_word("p99_latency"));
        assert!(begins_with_a_metric_word("container-cpu-usage-seconds-total"));
        assert!(!begins_with_a_metric_word("order_service_cpu"));
        assert!(!begins_with_a_metric_word(""));
    }
}
