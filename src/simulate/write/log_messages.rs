//! The words of what services log, by event and language.

use crate::simulate::random::Random;
use crate::simulate::recording::{Instance, LogEvent, Outcome, Side};
use crate::simulate::system::{LinkIdx, OperationIdx, Protocol, Role, Runtime, Service, System};

use super::failures::{Exception, Failing, exception_type, grpc_status, http_status};

/// How bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// What a line of a log says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) level: Level,
    /// The part of the program that speaks, `http`.
    pub(super) part: &'static str,
    pub(super) text: String,
    pub(super) exception: Option<Exception>,
}

impl Message {
    fn new(level: Level, part: &'static str, text: String) -> Self {
        Self { level, part, text, exception: None }
    }
}

/// Finds words; its numbers and ids are drawn from `random`.
pub(super) struct Speaker<'s> {
    pub(super) system: &'s System,
    pub(super) instance: &'s Instance,
    pub(super) random: Random,
}

impl<'s> Speaker<'s> {
    /// What the instance logs of an event.
    pub(super) fn say(&mut self, event: LogEvent) -> Message {
        let new = Message::new;
        match event {
            LogEvent::Served(operation, ms) => {
                let asked = self.asked(operation);
                let text = match self.service().runtime {
                    Runtime::Jvm => format!("Completed {asked} in {ms:.1} ms"),
                    Runtime::Go | Runtime::Native => format!("served {asked} in {ms:.3}ms"),
                    Runtime::Node => format!("request completed: {asked}, responseTime {ms:.0}"),
                    Runtime::Python => format!("{} - \"{asked}\" {ms:.2}ms", self.address()),
                };
                new(Level::Info, "http", text)
            }
            LogEvent::Failed(operation) => {
                let text = format!("{} failed", self.asked(operation));
                self.with_exception(new(Level::Error, "handler", text), Side::Server, operation, Outcome::Failed)
            }
            LogEvent::CallFailed(link, operation, outcome) => self.call_failed(link, operation, outcome),
            LogEvent::InvalidAnswer(link, operation) => {
                let text = format!("cannot use what {} answered to {}", self.callee(link), self.asked(operation));
                let runtime = self.service().runtime;
                let exception = (
                    exception_type(runtime, Outcome::InvalidAnswer),
                    format!("unexpected null at line 1, column {}", self.number(400)),
                );
                Message { exception: Some(exception), ..new(Level::Error, "client", text) }
            }
            LogEvent::EndedEarly(operation) => {
                let text = format!("{}: precondition not met, nothing to do", self.asked(operation));
                new(Level::Info, "handler", text)
            }
            LogEvent::PoolEmpty(link) => {
                let waiting = self.number(40);
                let text = format!("connection pool of {} is exhausted: idle=0, waiting={waiting}", self.callee(link));
                new(Level::Warn, "pool", text)
            }
            LogEvent::BreakerOpened(link) => {
                let text = format!("circuit breaker '{}' changed state from CLOSED to OPEN", self.callee(link));
                new(Level::Warn, "breaker", text)
            }
            LogEvent::BreakerClosed(link) => {
                let text = format!("circuit breaker '{}' changed state from HALF_OPEN to CLOSED", self.callee(link));
                new(Level::Info, "breaker", text)
            }
            LogEvent::LockWait(ms) => {
                let text = format!("waited {ms:.1} ms for a lock that worker-{} holds", self.number(32));
                new(Level::Warn, "lock", text)
            }
            LogEvent::SlowStatement(operation, ms) => self.slow_statement(operation, ms),
            LogEvent::GarbagePause(ms) => self.garbage_pause(ms),
            LogEvent::OutOfMemory => self.out_of_memory(),
            LogEvent::Started => {
                let seconds = 1.0 + self.random.unit() * 9.0;
                let (name, version) = (&self.service().name, &self.instance.version);
                new(Level::Info, "main", format!("started {name} {version} in {seconds:.2} seconds"))
            }
            LogEvent::Stopping => new(Level::Info, "main", "SIGTERM received, shutting down".to_owned()),
            LogEvent::Routine(kind) => self.routine(kind),
        }
    }

    fn service(&self) -> &'s Service {
        &self.system.services[self.instance.service]
    }

    fn callee(&self, link: LinkIdx) -> &'s str {
        &self.system.services[self.system.links[link].callee].name
    }

    fn number(&mut self, below: usize) -> usize {
        self.random.below(below)
    }

    fn address(&mut self) -> String {
        format!("10.{}.{}.{}", self.number(4), self.number(256), self.number(256))
    }

    /// An operation as a request has it: with numbers for the placeholders of a route.
    fn asked(&mut self, operation: OperationIdx) -> String {
        let operation = &self.system.operations[operation];
        let Protocol::Http(method) = &operation.protocol else { return operation.name.clone() };
        let mut asked = format!("{method} ");
        let mut rest = operation.name.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            asked.push_str(before);
            asked.push_str(&self.number(90_000).to_string());
            rest = after.split_once('}').map_or("", |(_, after)| after);
        }
        asked.push_str(rest);
        asked
    }

    fn with_exception(&self, message: Message, side: Side, operation: OperationIdx, outcome: Outcome) -> Message {
        let operation = &self.system.operations[operation];
        let failing = Failing::new(self.system, self.service().runtime, side, operation);
        Message { exception: failing.exception(outcome), ..message }
    }

    fn call_failed(&mut self, link: LinkIdx, operation: OperationIdx, outcome: Outcome) -> Message {
        let asked = self.asked(operation);
        let callee = self.callee(link);
        let status = match &self.system.operations[operation].protocol {
            Protocol::Http(_) => http_status(Side::Client, outcome).map(|status| status.to_string()),
            Protocol::Grpc => grpc_status(Side::Client, outcome).map(str::to_owned),
            Protocol::Database | Protocol::Message => None,
        };
        let text = match status {
            Some(status) => format!("call to {callee} failed: {asked} answered {status}"),
            None => format!("call to {callee} failed: {asked}"),
        };
        // That a breaker is open was said when it opened.
        let level = if outcome == Outcome::BreakerOpen { Level::Warn } else { Level::Error };
        self.with_exception(Message::new(level, "client", text), Side::Client, operation, outcome)
    }

    fn slow_statement(&mut self, operation: OperationIdx, ms: f64) -> Message {
        let statement = &self.system.operations[operation].name;
        let text = match &self.service().role {
            // `log_min_duration_statement` of PostgreSQL, the slow query log of MySQL, the profiler of MongoDB.
            Role::Database(system) if system == "postgresql" => {
                format!("duration: {ms:.3} ms  statement: {statement} /* {} */", self.number(100_000))
            }
            Role::Database(system) if system == "mongodb" => format!("Slow query: {statement}, durationMillis {ms:.0}"),
            Role::Database(_) | Role::Cache(_) | Role::Queue(_) => {
                format!("Query_time: {:.6}  {statement}", ms / 1000.0)
            }
            Role::Service | Role::External => format!("slow statement: {statement} took {ms:.1} ms"),
        };
        Message::new(Level::Warn, "sql", text)
    }

    fn garbage_pause(&mut self, ms: f64) -> Message {
        let number = self.number(5000);
        let text = match self.service().runtime {
            Runtime::Jvm => format!("GC({number}) Pause Young (Normal) (G1 Evacuation Pause) {ms:.3}ms"),
            Runtime::Go | Runtime::Native => format!("gc {number}: stop the world for {ms:.3} ms"),
            Runtime::Node => format!("event loop was blocked for {ms:.0} ms, mark-sweep {number}"),
            Runtime::Python => format!("gc: collection {number} of generation 2 took {ms:.1} ms"),
        };
        Message::new(Level::Info, "gc", text)
    }

    fn out_of_memory(&mut self) -> Message {
        let used = self.service().memory_mib;
        let text = match self.service().runtime {
            Runtime::Jvm => "Terminating due to java.lang.OutOfMemoryError: Java heap space".to_owned(),
            Runtime::Node => {
                "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory".to_owned()
            }
            Runtime::Go | Runtime::Python | Runtime::Native => {
                format!("Memory cgroup out of memory: Killed process {}, limit {used:.0}Mi", 1 + self.number(40))
            }
        };
        Message::new(Level::Fatal, "memory", text)
    }

    fn routine(&mut self, kind: u8) -> Message {
        let (small, large) = (self.number(90), self.number(9000));
        let (level, part, text) = match kind % 8 {
            0 => (Level::Debug, "health", format!("health check passed in {small} ms")),
            1 => (Level::Info, "cache", format!("local cache refreshed: {large} entries in {small} ms")),
            2 => (Level::Info, "config", format!("configuration revision {large} loaded, nothing changed")),
            3 => (Level::Info, "scheduler", format!("scheduled job cleanup finished: {small} rows in {large} ms")),
            4 => (Level::Debug, "pool", format!("pool statistics: active={small} requested={large}")),
            5 => (Level::Debug, "metrics", format!("exported {large} data points in {small} ms")),
            6 => (Level::Info, "auth", format!("access token renewed, valid for {large} s")),
            _ => {
                let address = self.address();
                (
                    Level::Warn,
                    "http",
                    format!("request from {address} without header x-client-version, taken as {small}"),
                )
            }
        };
        Message::new(level, part, text)
    }
}
