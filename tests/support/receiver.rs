//! `hypocenter serve` as a process of its own, and a client for it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use prost::Message;

use otlp_messages::{ResourceSpans, ScopeSpans, Span, TracesData, http_attributes};

#[path = "../../benches/support/otlp_messages.rs"]
pub(crate) mod otlp_messages;

/// A running receiver; killed when dropped.
pub(crate) struct Receiver {
    child: Child,
    /// `host:port` of OTLP over gRPC.
    pub(crate) grpc: String,
    /// The same of OTLP over HTTP.
    pub(crate) http: String,
    /// The same of remote-write and health.
    pub(crate) web: String,
}

impl Receiver {
    /// Starts it on free ports of loopback, with more arguments; waits until it is ready.
    pub(crate) fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, &["127.0.0.1:0"; 3].map(str::to_owned), arguments)
    }

    /// Starts it where this one listens.
    pub(crate) fn start_again(&self, data: &Path, arguments: &[&str]) -> Self {
        Self::start_at(data, &[self.grpc.clone(), self.http.clone(), self.web.clone()], arguments)
    }

    fn start_at(data: &Path, [grpc, http, web]: &[String; 3], arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypocenter"));
        command.arg("serve").arg("--data").arg(data).args(arguments);
        command.args(["--otlp.grpc-address", grpc, "--otlp.http-address", http, "--web.listen-address", web]);
        Self::spawn(&mut command)
    }

    /// Runs a command that becomes the receiver.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.env_remove("RUST_LOG").stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut addresses = Vec::new();
        let mut seen = Vec::new();
        for line in lines.by_ref() {
            if line.contains(" listening for ") {
                addresses.extend(line.split("address=").nth(1).map(|address| address.trim().to_owned()));
            }
            if line.contains(" ready") {
                break;
            }
            seen.push(line);
        }
        assert_eq!(addresses.len(), 3, "the receiver did not start:\n{}", seen.join("\n"));
        // A full pipe would stop the receiver.
        thread::spawn(move || lines.for_each(drop));
        let [grpc, http, web] = <[String; 3]>::try_from(addresses).expect("three addresses");
        Self { child, grpc, http, web }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// As a crash: it cannot do anything about it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// As an operator does.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()));
        self.child.wait().expect("the process is ours")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An answer over gRPC.
pub(crate) struct GrpcAnswer {
    /// The code, where the call failed at once: then it stands in the headers.
    pub(crate) code: Option<u32>,
    /// `grpc-status-details-bin`.
    pub(crate) details: String,
    /// The answer's message.
    pub(crate) message: Vec<u8>,
}

impl GrpcAnswer {
    /// Only a call that ended well has a message.
    pub(crate) fn is_ok(&self) -> bool {
        self.code.is_none()
    }
}

/// A client of both transports.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    grpc: reqwest::Client,
}

impl Client {
    pub(crate) fn new() -> Self {
        let builder = || reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).tcp_nodelay(true);
        let http = builder().build().expect("a client");
        Self { http, grpc: builder().http2_prior_knowledge().build().expect("a client") }
    }

    /// Posts a body with headers.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, &'static str)],
        body: Vec<u8>,
    ) -> reqwest::Result<reqwest::Response> {
        let request = self.http.post(url).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await
    }

    /// Calls an Export method of OTLP: `trace.v1.TraceService`, for example.
    pub(crate) async fn export(&self, address: &str, service: &str, message: &[u8]) -> reqwest::Result<GrpcAnswer> {
        self.call(address, service, "identity", message).await
    }

    /// The same with a message that is compressed already, as `encoding` says.
    pub(crate) async fn call(
        &self,
        address: &str,
        service: &str,
        encoding: &'static str,
        message: &[u8],
    ) -> reqwest::Result<GrpcAnswer> {
        let url = format!("http://{address}/opentelemetry.proto.collector.{service}/Export");
        let length = u32::try_from(message.len()).expect("a small message").to_be_bytes();
        let body = [&[u8::from(encoding != "identity")][..], &length, message].concat();
        let request = self.grpc.post(url).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.header("grpc-encoding", encoding).body(body);
        let response = request.send().await?;
        let text =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let (code, details) =
            (text("grpc-status").parse().ok().filter(|code| *code != 0), text("grpc-status-details-bin"));
        let body = response.bytes().await?;
        let code = if code.is_none() && body.len() < 5 { Some(u32::MAX) } else { code };
        Ok(GrpcAnswer { code, details, message: body.get(5..).unwrap_or_default().to_vec() })
    }
}

/// A message of OTLP with spans whose ids are the numbers plus one, four in a trace: `frontend` calls `items`, each with a
/// span of its own inside.
pub(crate) fn message(numbers: std::ops::Range<u64>, start_ns: u64, length_ns: u64) -> Vec<u8> {
    let count = numbers.end - numbers.start;
    let span = |number: u64| {
        let (in_trace, offset_ns) = (number % 4, (number - numbers.start) * length_ns / count);
        Span {
            trace_id: (u128::from(number / 4 + 1) << 64 | 0x5eed).to_be_bytes().to_vec(),
            span_id: (number + 1).to_be_bytes().to_vec(),
            parent_span_id: if in_trace == 0 { vec![] } else { number.to_be_bytes().to_vec() },
            name: format!("GET /items/{}", number / 4 % 7),
            kind: [2, 3, 2, 1][in_trace as usize],
            start_time_unix_nano: start_ns + offset_ns,
            end_time_unix_nano: start_ns + offset_ns + 40_000_000 - in_trace * 9_000_000,
            attributes: http_attributes(),
            ..Span::default()
        }
    };
    let of_service = |service: &str, in_trace: std::ops::Range<u64>| {
        let spans = numbers.clone().filter(|number| in_trace.contains(&(number % 4))).map(span).collect();
        let resource = otlp_messages::message(service, vec![]).resource_spans.remove(0).resource;
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
    };
    TracesData { resource_spans: vec![of_service("frontend", 0..2), of_service("items", 2..4)] }.encode_to_vec()
}
