//! What happens to a system: for how long, under which load, and what goes wrong when.

use super::system::{LinkIdx, ServiceIdx};

/// One run of the world.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Seed of everything random.
    pub seed: u64,
    /// First instant that is recorded, Unix time in ns. Before it the world runs for `warm_up_ns` unrecorded.
    pub start_ns: i64,
    /// Unrecorded time before, ns: queues and counters reach their usual state.
    pub warm_up_ns: i64,
    /// Recorded time, ns.
    pub duration_ns: i64,
    /// Time between two scrapes of one instance, ns.
    pub scrape_ns: i64,
    /// How many requests arrive.
    pub load: Load,
    /// Disturbances, in any order. Those of one knob on one target multiply or add up, as the knob says.
    pub effects: Vec<Effect>,
    /// Deploys, in any order.
    pub deploys: Vec<Deploy>,
}

/// Open arrivals: a Poisson process whose rate has a daily and a weekly rhythm, and bursts.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    /// Multiplies the rate of each entry.
    pub factor: f64,
    /// Swing over the day, 0 to 1: the rate at 14:00 UTC is `1 + daily` times the mean, at 02:00 `1 - daily` times.
    pub daily: f64,
    /// Share that Saturdays and Sundays lack, 0 to 1.
    pub weekend: f64,
    /// Short rises of all entries: start (Unix ns), length (ns), factor.
    pub bursts: Vec<(i64, i64, f64)>,
}

/// A disturbance: a knob turned on a target for some time.
#[derive(Clone, PartialEq, Debug)]
pub struct Effect {
    /// On whom.
    pub target: Target,
    /// What.
    pub knob: Knob,
    /// From when, Unix ns.
    pub from_ns: i64,
    /// Until when, Unix ns.
    pub until_ns: i64,
    /// It grows linearly from nothing to its full size over this time, ns; 0: at once.
    pub ramp_ns: i64,
}

/// On whom an effect acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Instances of a service.
    Instances(ServiceIdx, Which),
    /// One way from caller to callee.
    Link(LinkIdx),
    /// All ways out of a service.
    CallsFrom(ServiceIdx),
    /// All ways into and out of a service: its network.
    Network(ServiceIdx),
    /// A machine and all pods on it.
    Machine(u32),
    /// The load of all entries.
    Load,
}

/// Which instances of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// Each.
    All,
    /// The nth of those alive, from 0.
    Nth(u32),
    /// Those that run this version.
    Version(String),
}

/// What is turned. Sizes are those at full growth; on the way there a factor grows from 1, everything else from 0.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Knob {
    // --- on instances ---
    /// Own work takes this many times as long, and as much more CPU.
    Work(f64),
    /// The part of own work that waits takes this many times as long; CPU stays.
    Wait(f64),
    /// Each request waits this much longer, µs, without CPU.
    Pause(f64),
    /// A process beside the service burns this many of its cores.
    Hog(f64),
    /// The CPU limit becomes this many cores (at once; growth is ignored): throttling.
    CpuLimit(f64),
    /// The heap grows by this many MiB per second; collections become longer and more frequent, at the limit the
    /// container is killed and starts again.
    Leak(f64),
    /// This many MiB are taken at once.
    Allocate(f64),
    /// Each request holds one lock of the instance for this long, µs.
    Lock(f64),
    /// Share of the disk's time that something else takes, 0 to 1; what waits for the disk slows down by 1 / (1 - share).
    Disk(f64),
    /// Requests fail with this probability after a part of their work.
    Fail(f64),
    /// Answers are wrong with this probability, with status OK; a caller that requires them fails on using them.
    Corrupt(f64),
    /// Requests skip all remaining steps with this probability and answer OK.
    ReturnEarly(f64),
    /// The instance answers nothing and sends nothing: connections are refused, and no new pod takes its place.
    Down,
    // --- on links ---
    /// Each message takes this much longer one way, µs; half of it varies.
    Delay(f64),
    /// Each message is lost with this probability and sent again after 200 ms, 400 ms, …
    Loss(f64),
    /// Nothing comes through: connections hang until the timeout (5 s where there is none).
    Cut,
    /// The callee's name is not found, with this probability; calls fail at once.
    NoName(f64),
    /// The pool has this many connections (at once).
    Pool(u32),
    /// Calls are tried this many further times (at once) without pause.
    Retries(u32),
    /// The caller gives up after this time, µs (at once).
    Timeout(f64),
    /// Requests carry a wrong setting (credentials, address, format): refused by the callee with this probability.
    Misconfigured(f64),
    // --- on instances of a cache ---
    /// The cache is emptied at `from_ns` and fills again; this many misses bring it back to 63 % of its usual hits.
    Flush(f64),
    // --- on machines ---
    /// A pod of no service burns this many cores of the machine.
    Neighbour(f64),
    // --- on the load ---
    /// This many times as many requests.
    Arrivals(f64),
}

/// Pods replaced by others of a new version.
#[derive(Clone, PartialEq, Debug)]
pub struct Deploy {
    /// When the first pod is replaced, Unix ns.
    pub at_ns: i64,
    /// Of whom.
    pub service: ServiceIdx,
    /// To which version.
    pub version: String,
    /// How many pods; `None`: all, one after the other.
    pub pods: Option<u32>,
    /// Time between two pods, ns.
    pub step_ns: i64,
    /// What its author wrote.
    pub description: String,
}
