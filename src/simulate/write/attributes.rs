//! Attributes of spans and resources by OpenTelemetry's semantic conventions (1.44.0).
//!
//! A database's `db.namespace` is its service's name, and `server.address` of everything is the service's name: under
//! these names reports speak of them. `service.namespace` is left out, because it would become part of the names of
//! services that have spans and not of the others; the namespace is in `k8s.namespace.name`. `url.full` and `url.path` are
//! left out: they differ from span to span, and would be most of a file.

use crate::simulate::recording::{Instance, Outcome, Side};
use crate::simulate::system::{Operation, Protocol, Role, Runtime, Service, System};

use super::failures::{Failing, database_code, grpc_status, http_status, is_error};

/// A value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
}

/// An attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

/// Attributes in the order in which they are written.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Attributes(pub(super) Vec<Attribute>);

impl Attributes {
    fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push(Attribute { name, value: Value::Text(value.into()) });
    }

    fn integer(&mut self, name: &'static str, value: i64) {
        self.0.push(Attribute { name, value: Value::Integer(value) });
    }
}

/// Name of a machine in Kubernetes.
pub fn node_name(machine: u32) -> String {
    format!("node-{machine}")
}

/// What an instance's SDK and the collector's Kubernetes processor say of it.
pub(super) fn of_resource(system: &System, instance: &Instance) -> Attributes {
    let service = &system.services[instance.service];
    let (language, sdk_version) = match service.runtime {
        Runtime::Jvm => ("java", "1.53.0"),
        Runtime::Go => ("go", "1.38.0"),
        Runtime::Node => ("nodejs", "2.1.0"),
        Runtime::Python => ("python", "1.37.0"),
        Runtime::Native => ("rust", "0.31.0"),
    };
    let mut attributes = Attributes::default();
    attributes.text("service.name", &service.name);
    attributes.text("service.version", &instance.version);
    attributes.text("service.instance.id", &instance.pod);
    attributes.text("k8s.namespace.name", &system.namespace);
    attributes.text("k8s.deployment.name", &service.name);
    attributes.text("k8s.pod.name", &instance.pod);
    attributes.text("k8s.node.name", node_name(instance.machine));
    attributes.text("telemetry.sdk.name", "opentelemetry");
    attributes.text("telemetry.sdk.language", language);
    attributes.text("telemetry.sdk.version", sdk_version);
    attributes
}

/// The attributes of the event that tells of an exception.
pub(super) fn of_exception(kind: &str, message: &str) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.text("exception.type", kind);
    attributes.text("exception.message", message);
    attributes
}

/// What one kind of span is about.
#[derive(Clone, Copy)]
pub(super) struct Call<'s> {
    pub(super) system: &'s System,
    /// The language of the process that made the span.
    pub(super) runtime: Runtime,
    /// The service of that process.
    pub(super) service: &'s Service,
    pub(super) side: Side,
    pub(super) operation: &'s Operation,
    /// Name of the topic and its broker, where there is one.
    pub(super) topic: Option<(&'s str, &'s Service)>,
    pub(super) outcome: Outcome,
    pub(super) attempt: u8,
}

/// The attributes of a span.
pub(super) fn of_span(call: &Call<'_>) -> Attributes {
    let mut attributes = Attributes::default();
    match (&call.operation.protocol, call.topic) {
        (_, Some((topic, broker))) => messaging(call, topic, broker, &mut attributes),
        (Protocol::Http(method), None) => http(call, method, &mut attributes),
        (Protocol::Grpc, None) => grpc(call, &mut attributes),
        (Protocol::Database, None) => database(call, &mut attributes),
        (Protocol::Message, None) => {}
    }
    if let Some(kind) = error_type(call) {
        attributes.text("error.type", kind);
    }
    attributes
}

/// The answer's code where there was an answer, else the exception.
fn error_type(call: &Call<'_>) -> Option<String> {
    if !is_error(call.side, &call.operation.protocol, call.outcome) {
        return None;
    }
    let code = match (&call.operation.protocol, call.topic) {
        (_, Some(_)) | (Protocol::Message, None) => None,
        (Protocol::Http(_), None) => http_status(call.side, call.outcome).map(|status| status.to_string()),
        (Protocol::Grpc, None) => grpc_status(call.side, call.outcome).map(str::to_owned),
        (Protocol::Database, None) => database_code(database_system(callee(call)), call.outcome).map(str::to_owned),
    };
    code.or_else(|| failing(call).exception(call.outcome).map(|(kind, _)| kind.to_owned()))
}

/// Who failed at what, in this span.
pub(super) fn failing<'s>(call: &Call<'s>) -> Failing<'s> {
    let mut failing = Failing::new(call.system, call.runtime, call.side, call.operation);
    match (call.side, call.topic) {
        (Side::Producer, Some((_, broker))) => failing.callee = broker,
        (Side::Producer | Side::Consumer | Side::Server | Side::Client, _) => {}
    }
    failing
}

fn callee<'s>(call: &Call<'s>) -> &'s Service {
    &call.system.services[call.operation.service]
}

fn http(call: &Call<'_>, method: &str, attributes: &mut Attributes) {
    attributes.text("http.request.method", method);
    let is_outside = callee(call).role == Role::External;
    attributes.text("url.scheme", if is_outside { "https" } else { "http" });
    if call.side == Side::Server {
        attributes.text("http.route", &call.operation.name);
    }
    server(callee(call), if is_outside { 443 } else { 8080 }, attributes);
    if let Some(status) = http_status(call.side, call.outcome) {
        attributes.integer("http.response.status_code", status.into());
    }
    if call.attempt > 0 {
        attributes.integer("http.request.resend_count", call.attempt.into());
    }
}

fn grpc(call: &Call<'_>, attributes: &mut Attributes) {
    attributes.text("rpc.system.name", "grpc");
    attributes.text("rpc.method", &call.operation.name);
    server(callee(call), 50_051, attributes);
    if let Some(status) = grpc_status(call.side, call.outcome) {
        attributes.text("rpc.response.status_code", status);
    }
}

fn database_system(callee: &Service) -> &str {
    match &callee.role {
        Role::Database(system) | Role::Cache(system) | Role::Queue(system) => system,
        Role::Service | Role::External => "other_sql",
    }
}

fn database(call: &Call<'_>, attributes: &mut Attributes) {
    let callee = callee(call);
    let system = database_system(callee);
    attributes.text("db.system.name", system);
    if !matches!(callee.role, Role::Cache(_)) {
        attributes.text("db.namespace", &callee.name);
    }
    let mut words = call.operation.name.split(' ');
    attributes.text("db.operation.name", words.next().unwrap_or_default());
    if let Some(collection) = words.next() {
        attributes.text("db.collection.name", collection);
        attributes.text("db.query.summary", &call.operation.name);
    }
    server(callee, default_port(system), attributes);
    if let Some(code) = database_code(system, call.outcome) {
        attributes.text("db.response.status_code", code);
    }
}

fn messaging(call: &Call<'_>, topic: &str, broker: &Service, attributes: &mut Attributes) {
    let system = database_system(broker);
    attributes.text("messaging.system", system);
    attributes.text("messaging.destination.name", topic);
    let (name, kind) = if call.side == Side::Consumer { ("process", "process") } else { ("publish", "send") };
    attributes.text("messaging.operation.name", name);
    attributes.text("messaging.operation.type", kind);
    if call.side == Side::Consumer {
        attributes.text("messaging.consumer.group.name", &call.service.name);
    }
    server(broker, default_port(system), attributes);
}

/// A port of 0 is not known.
fn server(service: &Service, port: i64, attributes: &mut Attributes) {
    attributes.text("server.address", &service.name);
    if port > 0 {
        attributes.integer("server.port", port);
    }
}

/// The port that a system listens on by default; 0 where it is not known.
fn default_port(system: &str) -> i64 {
    match system {
        "postgresql" => 5432,
        "mysql" | "mariadb" => 3306,
        "mongodb" => 27_017,
        "redis" => 6379,
        "memcached" => 11_211,
        "kafka" => 9092,
        "rabbitmq" => 5672,
        _ => 0,
    }
}
