//! What holds at the door now: TLS and who may come in, for all three listeners. Read again while it runs.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::auth::{Denied, Guard, Peer};
use super::counters::Counts;
use super::failed_logins::FailedLogins;
use super::problem::problem;
use super::web_config::{self, Seen, WebConfig, WebConfigError};
use super::{Settings, status};

/// The rules of one web config file.
pub(super) struct Rules {
    pub(super) tls: Option<TlsAcceptor>,
    guard: Guard,
    requires_client_certificate: bool,
    headers: HeaderMap,
}

/// Keeps the rules that hold, and looks whether the file has others.
pub(super) struct Door {
    path: Option<PathBuf>,
    /// By which name people reach the web address, besides its address.
    host: Option<String>,
    /// Where everybody can come.
    public_web: Option<SocketAddr>,
    rules: watch::Sender<Arc<Rules>>,
    files: Mutex<Files>,
    failed: FailedLogins,
}

/// What the files said.
struct Files {
    /// When they were read last.
    seen: Seen,
    /// Whether that is what holds.
    hold: bool,
}

impl Rules {
    fn new(config: WebConfig) -> Self {
        Self {
            tls: config.tls.map(TlsAcceptor::from),
            guard: Guard::new(config.users, &config.tokens),
            requires_client_certificate: config.requires_client_certificate,
            headers: config.headers,
        }
    }

    /// Whether everybody has to show who they are.
    fn authenticates(&self) -> bool {
        self.requires_client_certificate || !self.guard.is_open()
    }
}

impl Door {
    /// Reads the web config file, where there is one.
    ///
    /// # Errors
    /// When it is of no use, or when nobody would have to say who they are at a web address where everybody can come.
    pub(super) fn new(settings: &Settings) -> Result<Self, WebConfigError> {
        let (seen, config) = match &settings.web_config_file {
            Some(path) => {
                let (seen, read) = web_config::read(path);
                (seen, read?.checked(path)?)
            }
            None => (Seen::new(), WebConfig::default()),
        };
        let (rules, _) = watch::channel(Arc::new(Rules::new(config)));
        let door = Self {
            path: settings.web_config_file.clone(),
            host: settings.host.clone(),
            public_web: Some(settings.web_address).filter(|address| !is_loopback(address.ip())),
            rules,
            files: Mutex::new(Files { seen, hold: true }),
            failed: FailedLogins::default(),
        };
        door.check(&door.rules.borrow())?;
        Ok(door)
    }

    /// The rules, also those that come later.
    pub(super) fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    /// Whether a request was made to an address, to `localhost`, or to a name that the settings give.
    fn answers_to(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        let Ok(host) = host.to_str() else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.host.as_ref().is_some_and(|host| name.eq_ignore_ascii_case(host))
    }

    fn check(&self, rules: &Rules) -> Result<(), WebConfigError> {
        match self.public_web.filter(|_| !rules.authenticates()) {
            Some(address) => Err(WebConfigError::Open { path: self.path.clone(), address }),
            None => Ok(()),
        }
    }

    /// Logs who can come in without showing who they are, or be overheard.
    pub(super) fn tell(&self, settings: &Settings) {
        let rules = self.rules.borrow();
        let addresses = [
            ("OTLP over gRPC", settings.grpc_address),
            ("OTLP over HTTP", settings.http_address),
            ("the web address", settings.web_address),
        ];
        let public: Vec<_> = addresses.into_iter().filter(|(_, address)| !is_loopback(address.ip())).collect();
        if !rules.authenticates() && public.is_empty() {
            tracing::info!("no authentication: listening on loopback only");
        }
        for (purpose, address) in public {
            if !rules.authenticates() {
                tracing::warn!(%address, "no authentication: everybody who gets there can send {purpose}");
            } else if rules.tls.is_none() {
                tracing::warn!(%address, "no TLS: credentials for {purpose} can be read on the way");
            }
        }
    }

    /// Reads the files again, and lets what they say hold from now on. Where they are of no use, what held goes on.
    ///
    /// # Errors
    /// Why they are of no use.
    pub(super) fn read_again(&self) -> Result<(), WebConfigError> {
        self.look(false).unwrap_or(Ok(()))
    }

    /// The same if they are others than when they were read last; `None` if not.
    pub(super) fn read_if_changed(&self) -> Option<Result<(), WebConfigError>> {
        self.look(true)
    }

    fn look(&self, only_if_changed: bool) -> Option<Result<(), WebConfigError>> {
        let path = self.path.as_deref()?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, read) = web_config::read(path);
        if seen == files.seen && (only_if_changed || files.hold) {
            return None;
        }
        let rules = read.and_then(|read| read.checked(path)).map(Rules::new);
        let rules = rules.and_then(|rules| self.check(&rules).map(|()| rules));
        *files = Files { seen, hold: rules.is_ok() };
        Some(rules.map(|rules| {
            self.rules.send_replace(Arc::new(rules));
        }))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// How a listener tells that something is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// As OTLP over gRPC.
    Grpc,
    /// As OTLP over HTTP.
    Otlp,
    /// As Prometheus.
    Web,
}

/// The door as one listener has it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) door: Arc<Door>,
    pub(super) dialect: Dialect,
    pub(super) counts: Arc<Counts>,
}

/// Lets only those in who may.
pub(super) async fn guard(State(entry): State<Entry>, request: Request, next: Next) -> Response {
    let rules = Arc::clone(&entry.door.rules.borrow());
    // Probes have no credentials.
    let is_probe = entry.dialect == Dialect::Web && matches!(request.uri().path(), "/-/healthy" | "/-/ready");
    let from = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip());
    let checked = match is_probe {
        true => Ok(()),
        // Where nobody says who he is, a name that leads here may have been made to by a page in a browser (DNS rebinding).
        false
            if entry.dialect == Dialect::Web && !rules.authenticates() && !entry.door.answers_to(request.headers()) =>
        {
            Err(Denied::Host)
        }
        false => rules.guard.check(request.headers(), from, &entry.door.failed).await,
    };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(denied) => {
            entry.counts.denied(denied);
            tracing::debug!(%from, reason = denied.reason(), "a request was not let in");
            refused(entry.dialect, denied, rules.guard.challenge(), request.headers())
        }
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn refused(dialect: Dialect, denied: Denied, challenge: &'static str, headers: &HeaderMap) -> Response {
    let (code, error_type, grpc, message) = match denied {
        Denied::Missing | Denied::Wrong => {
            let message =
                if denied == Denied::Missing { "credentials are needed" } else { "these credentials are wrong" };
            (StatusCode::UNAUTHORIZED, "unauthorized", tonic::Code::Unauthenticated, message)
        }
        Denied::Limited(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            tonic::Code::Unauthenticated,
            "too many failed logins from this address; wait a minute",
        ),
        Denied::Host => (
            StatusCode::FORBIDDEN,
            "forbidden",
            tonic::Code::PermissionDenied,
            "without authentication this answers to addresses, localhost and the host of incidents.external_url only",
        ),
        Denied::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            tonic::Code::Unavailable,
            "too many logins at once; try again",
        ),
    };
    let mut response = match dialect {
        Dialect::Grpc => return tonic::Status::new(grpc, message).into_http::<axum::body::Body>(),
        Dialect::Web => problem(code, error_type, message),
        Dialect::Otlp => {
            let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|content| {
                content.to_str().is_ok_and(|content| content.trim_start().starts_with("application/json"))
            });
            let (content, body) = match is_json {
                true => ("application/json", status::plain_json(grpc, message)),
                false => ("application/x-protobuf", status::plain(grpc, message)),
            };
            (code, [(header::CONTENT_TYPE, content)], body).into_response()
        }
    };
    match denied {
        Denied::Missing | Denied::Wrong => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Denied::Limited(wait) => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        Denied::Host => {}
        Denied::Busy => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
    }
    response
}
