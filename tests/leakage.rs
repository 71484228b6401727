//! Nothing but measurements decides: with all services renamed, all input in another order and the clock moved, every
//! service keeps its score, and the verdict and the causes stay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hypocenter::analysis::{Detected, Settings};
use hypocenter::assemble::{Request, assemble};
use hypocenter::case::Case;
use hypocenter::eval::{DatasetFormat, cases};
use hypocenter::ingest::{ReadOptions, Telemetry, finish, read_bytes};
use hypocenter::rank::Verdict;
use hypocenter::rank::hypocenter::Hypocenter;
use hypocenter::simulate::incident::play;
use hypocenter::simulate::scenario::Choice;
use hypocenter::simulate::write::TraceFormat;
use hypocenter::telemetry::id::{ServiceId, SpanId, TraceId};
use hypocenter::telemetry::logs::{LogRecord, LogTable};
use hypocenter::telemetry::series::Subject;
use hypocenter::telemetry::span::{Peer, Place, Span, SpanTable};
use hypocenter::telemetry::time::{NANOS_PER_SECOND, Window};
use hypocenter::telemetry::topology::GivenEdge;

/// Many whole minutes, an odd number: every width of time bins divides them.
const MINUTES_NS: i64 = 12_345_677 * 60 * NANOS_PER_SECOND;
/// No whole number of anything.
const ODD_NS: i64 = 7_654_321_987_654_321;

/// An incident before it is analysed.
#[derive(Clone)]
struct Given {
    telemetry: Telemetry,
    request: Request,
}

/// What an analysis says: the score of each service, the verdict, and the causes.
#[derive(Debug)]
struct Said {
    scores: BTreeMap<String, f64>,
    verdict: Verdict,
    causes: Vec<String>,
}

fn analysed(given: Given) -> Said {
    let incident = assemble(given.telemetry, given.request).expect("a sound incident");
    let settings = Settings::default();
    let ranking = Detected::of(&incident, &settings).ranking(&Hypocenter { fusion: settings.fusion });
    let name = |at: usize| ranking.candidates[at].suspect.service().to_string();
    let mut causes: Vec<String> = (0..ranking.causes).map(name).collect();
    causes.sort();
    let scores = ranking.candidates.iter().enumerate().map(|(at, candidate)| (name(at), candidate.score));
    Said { scores: scores.collect(), verdict: ranking.verdict, causes }
}

/// A name that says nothing and sorts elsewhere. Parts stay parts, for what joins `shop/cart` and `cart`, or a host and
/// its first label, goes by them; addresses, ports and the words of Kubernetes' domains stay.
fn meaningless(name: &str) -> String {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return name.to_owned();
    }
    let is_between = |letter: char| matches!(letter, '/' | '.' | ':' | '@');
    let mut out = String::new();
    for piece in name.split_inclusive(is_between) {
        let part = piece.trim_end_matches(is_between);
        let is_vocabulary = matches!(part, "svc" | "cluster" | "local") || part.bytes().all(|b| b.is_ascii_digit());
        if is_vocabulary {
            out.push_str(part);
        } else {
            // FNV-1a of the part turned around.
            let hash = part.bytes().rev().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            out.push_str(&format!("n{hash:016x}"));
        }
        out.push_str(&piece[part.len()..]);
    }
    out
}

fn same(name: &str) -> String {
    name.to_owned()
}

/// Places 0 to n in an order that has nothing to do with theirs.
fn shuffled(n: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by_key(|&at| (at as u64 ^ 0x9e37).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    places
}

type Name = fn(&str) -> String;

/// The same incident with every name changed by `name`, everything in another order, `shift_ns` later.
fn other(given: &Given, name: Name, shift_ns: i64) -> Given {
    let id = |service: &ServiceId| ServiceId::new(&name(service.as_str()));
    let mut telemetry = given.telemetry.clone();
    telemetry.spans = spans(&given.telemetry.spans, name, shift_ns);
    telemetry.logs = logs(&given.telemetry.logs, name, shift_ns);
    for series in &mut telemetry.series {
        series.subject = match &series.subject {
            Subject::Service(service) => Subject::Service(id(service)),
            Subject::Instance { service, instance } => {
                Subject::Instance { service: id(service), instance: name(instance) }
            }
            Subject::Version { service, version } => {
                Subject::Version { service: id(service), version: version.clone() }
            }
            Subject::Operation { service, operation } => {
                Subject::Operation { service: id(service), operation: operation.clone() }
            }
            Subject::Edge { caller, callee } => Subject::Edge { caller: id(caller), callee: id(callee) },
        };
        series.samples.iter_mut().for_each(|sample| sample.0 += shift_ns);
    }
    telemetry.series = reordered(&telemetry.series);
    let edge = |edge: &GivenEdge| GivenEdge { caller: id(&edge.caller), callee: id(&edge.callee), ..edge.clone() };
    telemetry.given_edges = reordered(&telemetry.given_edges.iter().map(edge).collect::<Vec<_>>());
    for change in &mut telemetry.changes {
        change.at_ns += shift_ns;
        change.service = change.service.as_ref().map(id);
    }
    telemetry.changes = reordered(&telemetry.changes);
    for alert in &mut telemetry.alerts {
        alert.service = alert.service.as_ref().map(id);
        alert.starts_ns = alert.starts_ns.map(|at| at + shift_ns);
        alert.ends_ns = alert.ends_ns.map(|at| at + shift_ns);
    }
    let moved = |window: &Window| {
        Window::new(window.start_ns() + shift_ns, window.end_ns() + shift_ns).expect("as long as it was")
    };
    let request = Request {
        window: moved(&given.request.window),
        baselines: reordered(&given.request.baselines.iter().map(moved).collect::<Vec<_>>()),
        entry: given.request.entry.as_ref().map(id),
        ..given.request.clone()
    };
    Given { telemetry, request }
}

fn reordered<T: Clone>(all: &[T]) -> Vec<T> {
    shuffled(all.len()).into_iter().map(|at| all[at].clone()).collect()
}

fn spans(spans: &SpanTable, name: Name, shift_ns: i64) -> SpanTable {
    let mut out = SpanTable::new();
    let mut links: BTreeMap<u32, Vec<(TraceId, SpanId)>> = BTreeMap::new();
    for link in &spans.links {
        links.entry(link.row).or_default().push((link.trace, link.id));
    }
    for row in shuffled(spans.len()) {
        let span = spans.get(row);
        let resource = &spans.resources()[span.resource.0 as usize];
        let resource = out.resource_key(&name(&resource.service), &name(&resource.instance), &resource.version);
        let operation = out.operation_key(&spans.operations()[span.operation.0 as usize]);
        let peer = span.peer.map(|key| {
            let Peer { name: called, kind, place } = &spans.peers()[key.0 as usize];
            let place = Place { host: name(&place.host), address: place.address.clone(), port: place.port };
            out.peer_key_of(Peer { name: name(called), kind: *kind, place })
        });
        out.push(Span { resource, operation, peer, start_ns: span.start_ns + shift_ns, ..span });
        out.set_weight(out.len() - 1, spans.weight.get(row).copied().unwrap_or(0));
        out.mark(spans.marks_of(row));
        let row = u32::try_from(row).expect("few spans");
        links.get(&row).into_iter().flatten().for_each(|&(trace, id)| out.push_link(trace, id));
    }
    out
}

fn logs(logs: &LogTable, name: Name, shift_ns: i64) -> LogTable {
    let mut out = LogTable::default();
    for row in shuffled(logs.len()) {
        let service = out.service_key(&name(&logs.services()[logs.service[row] as usize]));
        out.push(&LogRecord {
            at_ns: logs.at_ns[row] + shift_ns,
            service,
            severity: logs.severity[row],
            message: &logs.messages()[logs.message[row] as usize],
            trace: (logs.trace[row] != 0).then_some(TraceId(logs.trace[row])),
        });
    }
    out
}

/// Whether both say the same, the second about services called by `name`.
fn check(what: &str, before: &Said, after: &Said, name: Name) {
    assert_eq!(before.scores.len(), after.scores.len(), "{what}: the number of services");
    for (service, score) in &before.scores {
        let now = after.scores.get(&name(service)).copied();
        let stays = now.is_some_and(|now| (now - score).abs() < 1e-9);
        assert!(stays, "{what}: {service} had {score} and has {now:?}");
    }
    assert_eq!(before.verdict, after.verdict, "{what}");
    let mut causes: Vec<String> = before.causes.iter().map(|cause| name(cause)).collect();
    causes.sort();
    assert_eq!(causes, after.causes, "{what}");
}

fn check_all(what: &str, given: &Given) {
    let before = analysed(given.clone());
    for (change, name, shift_ns) in [
        ("in another order", same as Name, 0),
        ("under other names", meaningless as Name, 0),
        ("at another time", same as Name, MINUTES_NS),
        ("all at once", meaningless as Name, MINUTES_NS),
    ] {
        check(&format!("{what} {change}"), &before, &analysed(other(given, name, shift_ns)), name);
    }
}

/// Some cases of a dataset: each `every`th.
fn check_dataset(dir: &Path, format: DatasetFormat, every: usize) {
    for case in cases(dir, format, 0).expect("it is a dataset").iter().step_by(every) {
        let (telemetry, request) = (case.load)().expect(&case.id);
        // A quiet day without any sign has nothing to keep.
        if !case.causes.is_empty() {
            check_all(&case.id, &Given { telemetry, request });
        }
    }
}

fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets").join(name)
}

/// The recorded datasets; `None`, with a line that says so, where they are not.
fn recorded(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/datasets").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: the recorded incidents of {name} are not in ../shared/datasets");
    None
}

#[test]
fn simulated_incidents_stay_what_they_are() {
    check_dataset(&own("simulated"), DatasetFormat::Case, 1);
}

#[test]
fn incidents_written_by_hand_stay_what_they_are() {
    for name in ["checkout-db-latency", "inventory-errors"] {
        let case = Case::read(&own(name)).expect("the case folder is sound");
        let telemetry = hypocenter::ingest::read_paths(&case.files, &ReadOptions::default(), &|_| {}).expect(name);
        check_all(name, &Given { telemetry, request: Request::from(&case) });
    }
}

#[test]
fn the_drill_stays_what_it_is() {
    let choice = Choice { fault: Some("bad-deploy".to_owned()), system: Some("shop".to_owned()), ..Choice::default() };
    let played = play(&choice, 1, 0, TraceFormat::OtlpProtobuf).expect("the first drill can be played");
    let options = ReadOptions::default();
    let mut telemetry = Telemetry::default();
    for file in played.files.iter().filter(|file| file.name != "case.toml") {
        telemetry.append(read_bytes(Path::new(&file.name), &file.bytes, &options).expect(&file.name));
    }
    finish(&mut telemetry, &options);
    let toml = played.files.iter().find(|file| file.name == "case.toml").expect("it is described");
    let text = std::str::from_utf8(&toml.bytes).expect("text");
    let case = Case::from_text(text, Path::new("case.toml"), &played.name).expect("a sound description");
    check_all("the drill", &Given { telemetry, request: Request::from(&case) });
}

#[test]
fn recorded_incidents_stay_what_they_are() {
    if let Some(dir) = recorded("nezha") {
        check_dataset(&dir, DatasetFormat::Nezha, 9);
    }
    if let Some(dir) = recorded("petshop") {
        check_dataset(&dir, DatasetFormat::PetShop, 3);
    }
}

/// Calls are counted in bins that lie on the clock, so that tables of two runs can be merged; series are not.
#[test]
fn metrics_alone_do_not_see_any_clock() {
    let Some(dir) = recorded("petshop") else { return };
    for case in cases(&dir, DatasetFormat::PetShop, 0).expect("it is a dataset").iter().step_by(5) {
        let (telemetry, request) = (case.load)().expect(&case.id);
        let given = Given { telemetry, request };
        let (before, after) = (analysed(given.clone()), analysed(other(&given, meaningless, ODD_NS)));
        check(&format!("{} at an odd time", case.id), &before, &after, meaningless);
    }
}
