//! Outcomes as programs tell of them: status codes of HTTP and gRPC, codes of databases, exceptions of each language.

use crate::simulate::recording::{Outcome, Side};
use crate::simulate::system::{Operation, Protocol, Role, Runtime, Service, System};

/// The HTTP status of an answer. `None` on a client's side: there was no answer.
pub(super) fn http_status(side: Side, outcome: Outcome) -> Option<u16> {
    let answered = match outcome {
        Outcome::Ok => Some(200),
        Outcome::Failed | Outcome::InvalidAnswer | Outcome::DependencyFailed => Some(500),
        Outcome::Overloaded => Some(503),
        Outcome::Rejected => Some(401),
        Outcome::TimedOut
        | Outcome::Refused
        | Outcome::Reset
        | Outcome::NameNotFound
        | Outcome::BreakerOpen
        | Outcome::PoolTimedOut => None,
    };
    match (side, outcome) {
        (Side::Client | Side::Producer | Side::Consumer, _) => answered,
        (Side::Server, Outcome::TimedOut) => Some(504),
        (Side::Server, Outcome::BreakerOpen) => Some(503),
        (Side::Server, _) => answered.or(Some(500)),
    }
}

/// The gRPC status. `None` on a client's side: nothing was asked.
pub(super) fn grpc_status(side: Side, outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::Ok => "OK",
        Outcome::Failed | Outcome::InvalidAnswer | Outcome::DependencyFailed => "INTERNAL",
        Outcome::TimedOut => "DEADLINE_EXCEEDED",
        Outcome::Refused | Outcome::Reset | Outcome::NameNotFound => "UNAVAILABLE",
        Outcome::Overloaded => "RESOURCE_EXHAUSTED",
        Outcome::Rejected => "UNAUTHENTICATED",
        Outcome::BreakerOpen | Outcome::PoolTimedOut if side == Side::Client => return None,
        Outcome::BreakerOpen | Outcome::PoolTimedOut => "UNAVAILABLE",
    })
}

/// What a database answered to a statement that failed, where it has a code for it: SQLSTATE of PostgreSQL (appendix A of
/// its manual), error numbers of MySQL's server and of MongoDB.
pub(super) fn database_code(system: &str, outcome: Outcome) -> Option<&'static str> {
    Some(match (system, outcome) {
        ("postgresql", Outcome::Failed) => "XX000",
        ("postgresql", Outcome::Overloaded) => "53300",
        ("postgresql", Outcome::Rejected) => "28P01",
        ("mysql" | "mariadb", Outcome::Failed) => "1105",
        ("mysql" | "mariadb", Outcome::Overloaded) => "1040",
        ("mysql" | "mariadb", Outcome::Rejected) => "1045",
        ("mongodb", Outcome::Failed) => "1",
        ("mongodb", Outcome::Rejected) => "18",
        _ => return None,
    })
}

/// Whether the span's status is `Error` by the semantic conventions: a server is not to blame for what its client did
/// wrong, nor in gRPC for turning away what is too much.
pub(super) fn is_error(side: Side, protocol: &Protocol, outcome: Outcome) -> bool {
    match (side, protocol) {
        (Side::Server, Protocol::Http(_)) => http_status(side, outcome).is_some_and(|status| status >= 500),
        (Side::Server, Protocol::Grpc) => {
            matches!(grpc_status(side, outcome), Some("INTERNAL" | "DEADLINE_EXCEEDED" | "UNAVAILABLE"))
        }
        _ => outcome != Outcome::Ok,
    }
}

/// Type and message of an exception.
pub(super) type Exception = (&'static str, String);

/// Who failed at what.
#[derive(Clone, Copy)]
pub(super) struct Failing<'s> {
    /// The language of the process.
    pub(super) runtime: Runtime,
    /// Which side it is on.
    pub(super) side: Side,
    /// Who was asked; on the server's side the service itself.
    pub(super) callee: &'s Service,
    /// What was asked.
    pub(super) operation: &'s Operation,
}

impl<'s> Failing<'s> {
    pub(super) fn new(system: &'s System, runtime: Runtime, side: Side, operation: &'s Operation) -> Self {
        Self { runtime, side, callee: &system.services[operation.service], operation }
    }

    /// The exception that the process met; `None` where it got an answer that says enough, and where nothing failed.
    pub(super) fn exception(&self, outcome: Outcome) -> Option<Exception> {
        if outcome == Outcome::Ok {
            return None;
        }
        let asks = self.side == Side::Client;
        match self.operation.protocol {
            Protocol::Http(_) if asks && http_status(self.side, outcome).is_some() => return None,
            Protocol::Database if asks => {
                if let Some(exception) = self.statement_failed(outcome) {
                    return Some(exception);
                }
            }
            _ => {}
        }
        if asks && matches!(outcome, Outcome::Failed | Outcome::DependencyFailed | Outcome::InvalidAnswer) {
            let kind = [
                "io.grpc.StatusRuntimeException",
                "*status.Error",
                "ServiceError",
                "grpc._channel._InactiveRpcError",
                "tonic::Status",
            ];
            return Some((of_runtime(self.runtime, kind), format!("INTERNAL: {} failed", self.operation.name)));
        }
        Some((exception_type(self.runtime, outcome), self.message(outcome)))
    }

    /// What a driver makes of an error that the database itself told.
    fn statement_failed(&self, outcome: Outcome) -> Option<Exception> {
        let told = match outcome {
            Outcome::Failed | Outcome::InvalidAnswer | Outcome::DependencyFailed => "internal error",
            Outcome::Overloaded => "too many clients already",
            Outcome::Rejected => "password authentication failed for user \"app\"",
            _ => return None,
        };
        let kind = match self.callee.role {
            Role::Cache(_) => [
                "io.lettuce.core.RedisCommandExecutionException",
                "proto.RedisError",
                "ReplyError",
                "redis.exceptions.ResponseError",
                "redis::RedisError",
            ],
            _ => [
                "java.sql.SQLException",
                "*pgconn.PgError",
                "DatabaseError",
                "sqlalchemy.exc.OperationalError",
                "sqlx::error::Error",
            ],
        };
        Some((of_runtime(self.runtime, kind), format!("{}: {told}", self.callee.name)))
    }

    fn message(&self, outcome: Outcome) -> String {
        let (callee, operation) = (&self.callee.name, &self.operation.name);
        match outcome {
            Outcome::Ok => String::new(),
            Outcome::Failed => format!("unexpected state while handling {operation}"),
            Outcome::InvalidAnswer => format!("a value that {operation} needs is missing or of the wrong type"),
            Outcome::DependencyFailed => format!("{operation} could not be completed: a required call failed"),
            Outcome::TimedOut => format!("no answer from {callee} in time"),
            Outcome::Refused => format!("connect to {callee}: connection refused"),
            Outcome::Reset => format!("{callee}: connection reset by peer"),
            Outcome::NameNotFound => format!("{callee}: name or service not known"),
            Outcome::Overloaded => "no worker is free and the queue is full".to_owned(),
            Outcome::BreakerOpen => format!("circuit breaker '{callee}' is open and does not permit further calls"),
            Outcome::PoolTimedOut => format!("connection to {callee} is not available: the pool is exhausted"),
            Outcome::Rejected => format!("{callee} did not accept the credentials"),
        }
    }
}

/// The one of a language, in the order of [`Runtime`]'s variants.
fn of_runtime(runtime: Runtime, each: [&'static str; 5]) -> &'static str {
    let [jvm, go, node, python, native] = each;
    match runtime {
        Runtime::Jvm => jvm,
        Runtime::Go => go,
        Runtime::Node => node,
        Runtime::Python => python,
        Runtime::Native => native,
    }
}

/// Names of exceptions as the languages' usual libraries have them; those of Node are its error codes.
pub(super) fn exception_type(runtime: Runtime, outcome: Outcome) -> &'static str {
    let each = match outcome {
        Outcome::Ok | Outcome::Failed => {
            ["java.lang.IllegalStateException", "*errors.errorString", "Error", "RuntimeError", "anyhow::Error"]
        }
        Outcome::InvalidAnswer => [
            "com.fasterxml.jackson.databind.exc.MismatchedInputException",
            "*json.UnmarshalTypeError",
            "TypeError",
            "KeyError",
            "serde_json::Error",
        ],
        Outcome::DependencyFailed => [
            "org.springframework.web.client.RestClientException",
            "*fmt.wrapError",
            "UpstreamError",
            "requests.exceptions.HTTPError",
            "reqwest::Error",
        ],
        Outcome::TimedOut => [
            "java.net.SocketTimeoutException",
            "context.deadlineExceededError",
            "ETIMEDOUT",
            "requests.exceptions.ReadTimeout",
            "tokio::time::error::TimeoutElapsed",
        ],
        Outcome::Refused => {
            ["java.net.ConnectException", "*net.OpError", "ECONNREFUSED", "ConnectionRefusedError", "std::io::Error"]
        }
        Outcome::Reset => {
            ["java.net.SocketException", "*net.OpError", "ECONNRESET", "ConnectionResetError", "std::io::Error"]
        }
        Outcome::NameNotFound => [
            "java.net.UnknownHostException",
            "*net.DNSError",
            "ENOTFOUND",
            "socket.gaierror",
            "hickory_resolver::Error",
        ],
        Outcome::Overloaded => [
            "java.util.concurrent.RejectedExecutionException",
            "*server.overloadError",
            "QueueFullError",
            "queue.Full",
            "tower::load_shed::error::Overloaded",
        ],
        Outcome::BreakerOpen => [
            "io.github.resilience4j.circuitbreaker.CallNotPermittedException",
            "gobreaker.ErrOpenState",
            "EOPENBREAKER",
            "pybreaker.CircuitBreakerError",
            "failsafe::Error::Rejected",
        ],
        Outcome::PoolTimedOut => [
            "java.sql.SQLTransientConnectionException",
            "*pool.exhaustedError",
            "ResourceRequestError",
            "psycopg2.pool.PoolError",
            "deadpool::managed::PoolError",
        ],
        Outcome::Rejected => [
            "org.springframework.security.access.AccessDeniedException",
            "*auth.unauthenticatedError",
            "UnauthorizedError",
            "PermissionError",
            "tonic::Status",
        ],
    };
    of_runtime(runtime, each)
}
