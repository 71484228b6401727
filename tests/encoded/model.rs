//! The traces of a small shop on paper, for writing them in many encodings: whole microseconds, names in lower case.

/// A value of an attribute.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Integer(i64),
}

impl Value {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Integer(number) => number.to_string(),
        }
    }
}

/// Attributes with their names.
pub(crate) type Attributes = Vec<(&'static str, Value)>;

/// A process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Process {
    pub(crate) service: &'static str,
    pub(crate) instance: &'static str,
    pub(crate) version: &'static str,
}

/// OTLP's numbers of kinds.
pub(crate) const INTERNAL: usize = 1;
pub(crate) const SERVER: usize = 2;
pub(crate) const CLIENT: usize = 3;
pub(crate) const PRODUCER: usize = 4;
pub(crate) const CONSUMER: usize = 5;
/// OTLP's numbers of statuses.
pub(crate) const OK: usize = 1;
pub(crate) const ERROR: usize = 2;

/// A span.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: u128,
    pub(crate) id: u64,
    /// 0 for none.
    pub(crate) parent: u64,
    pub(crate) process: Process,
    pub(crate) name: &'static str,
    pub(crate) kind: usize,
    pub(crate) start_us: u64,
    pub(crate) duration_us: u64,
    pub(crate) status: usize,
    pub(crate) attributes: Attributes,
    /// Trace and span.
    pub(crate) links: Vec<(u128, u64)>,
}

impl Span {
    pub(crate) fn end_us(&self) -> u64 {
        self.start_us + self.duration_us
    }
}

/// 2026-03-02T10:00:00Z; the fault begins five minutes later, and the record ends five minutes after that.
pub(crate) const START_S: u64 = 1_772_445_600;
pub(crate) const BASELINE: &str = "2026-03-02T10:00:00Z/5m";
pub(crate) const INCIDENT: &str = "2026-03-02T10:05:00Z/5m";
const SECONDS: u64 = 600;
const FAULT_FROM: u64 = 300;

const WEB: [Process; 2] = [process("web", "web-1", "3.1"), process("web", "web-2", "3.1")];
const CART: [Process; 1] = [process("cart", "cart-1", "1.0")];
const ORDERS: [Process; 2] = [process("orders", "orders-1", "2.4"), process("orders", "orders-2", "2.4")];
const PAYMENTS: [Process; 2] = [process("payments", "payments-1", "1.8"), process("payments", "payments-2", "1.9")];
const MAILER: [Process; 1] = [process("mailer", "mailer-1", "0.9")];

const fn process(service: &'static str, instance: &'static str, version: &'static str) -> Process {
    Process { service, instance, version }
}

/// Spans of one trace while it is written, times in microseconds from its beginning.
struct Trace {
    trace: u128,
    start_us: u64,
    next_id: u64,
    spans: Vec<Span>,
}

impl Trace {
    fn new(number: u64, start_us: u64) -> Self {
        // Ids of full length, so that no encoding can cut zeros.
        let trace = 0xa000_0000_0000_0000_0000_0000_0000_0000 | (u128::from(number) << 16);
        Self { trace, start_us, next_id: 0xb000_0000_0000_0000 | (number << 16), spans: Vec::new() }
    }

    /// Adds a span and gives its id.
    fn add(&mut self, parent: u64, process: Process, kind: usize, name: &'static str, (at, length): (u64, u64)) -> u64 {
        self.next_id += 1;
        self.spans.push(Span {
            trace: self.trace,
            id: self.next_id,
            parent,
            process,
            name,
            kind,
            start_us: self.start_us + at,
            duration_us: length,
            status: 0,
            attributes: Vec::new(),
            links: Vec::new(),
        });
        self.next_id
    }

    /// The span added last.
    fn last(&mut self) -> &mut Span {
        self.spans.last_mut().expect("a span was added")
    }

    fn with(&mut self, attributes: &[(&'static str, Value)]) {
        self.last().attributes.extend_from_slice(attributes);
    }
}

/// Pseudo-random numbers below a bound, the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// All traces: one request in a second, and its mail as a trace of its own that links to the message.
pub(crate) fn spans() -> Vec<Span> {
    let mut dice = Dice(7);
    let mut all = Vec::new();
    for second in 0..SECONDS {
        let start_us = (START_S + second) * 1_000_000 + dice.below(900_000);
        let mut trace = Trace::new(2 * second + 1, start_us);
        let sent = request(&mut trace, second >= FAULT_FROM, &mut dice);
        all.append(&mut trace.spans);
        if let Some(sent) = sent {
            let mut mail = Trace::new(2 * second + 2, start_us + 200_000);
            mail.add(0, MAILER[0], CONSUMER, "orders process", (0, 4_000 + dice.below(500)));
            mail.with(&KAFKA);
            mail.last().links.push((trace.trace, sent));
            all.append(&mut mail.spans);
        }
    }
    all
}

const KAFKA: [(&str, Value); 2] =
    [("messaging.system", Value::Text("kafka")), ("messaging.destination.name", Value::Text("orders"))];

/// A checkout. With the fault, the bank behind `payments` hangs, and some payments fail. Gives the id of the message
/// that was sent.
fn request(trace: &mut Trace, faulty: bool, dice: &mut Dice) -> Option<u64> {
    let mut pick = |processes: &[Process]| processes[dice.below(processes.len() as u64) as usize];
    let (web, cart, orders, payments) = (pick(&WEB), pick(&CART), pick(&ORDERS), pick(&PAYMENTS));
    let bank_us = if faulty { 180_000 + dice.below(40_000) } else { 8_000 + dice.below(3_000) };
    let failed = faulty && dice.below(10) < 4;
    let order_us = 12_000 + bank_us + dice.below(1_000);
    let status = if failed { ERROR } else { 0 };

    let root = trace.add(0, web, SERVER, "get /checkout", (0, 22_000 + order_us));
    trace.last().status = status;
    trace.with(&[("http.response.status_code", Value::Integer(if failed { 502 } else { 200 }))]);
    let render = trace.add(root, web, INTERNAL, "render", (500, 1_000 + dice.below(300)));
    trace.with(&[("view", Value::Text("it's a \"view\" \\ | {x}"))]);
    let _ = render;

    let call = trace.add(root, web, CLIENT, "get", (2_000, 6_000));
    trace.with(&[("peer.service", Value::Text("cart")), ("http.response.status_code", Value::Integer(404))]);
    let get = trace.add(call, cart, SERVER, "get /cart", (2_700, 4_800));
    trace.with(&[("http.response.status_code", Value::Integer(404))]);
    trace.add(get, cart, CLIENT, "hget", (3_000, 900 + dice.below(200)));
    trace.with(&[("db.system", Value::Text("redis")), ("peer.service", Value::Text("cart-cache"))]);

    let call = trace.add(root, web, CLIENT, "post", (9_000, 8_000 + order_us));
    trace.last().status = status;
    trace.with(&[("rpc.system", Value::Text("grpc"))]);
    let post = trace.add(call, orders, SERVER, "orders/place", (9_800, 6_500 + order_us));
    trace.last().status = status;
    trace.add(post, orders, CLIENT, "insert orders", (10_500, 3_000 + dice.below(600)));
    trace.last().status = OK;
    trace.with(&[("db.system.name", Value::Text("postgresql")), ("db.namespace", Value::Text("orders"))]);
    let call = trace.add(post, orders, CLIENT, "pay", (14_000, 3_000 + bank_us));
    trace.last().status = status;
    let pay = trace.add(call, payments, SERVER, "payments/pay", (14_600, 1_900 + bank_us));
    trace.last().status = status;
    trace.add(pay, payments, CLIENT, "charge", (15_500, bank_us));
    trace.last().status = status;
    trace.with(&[("server.address", Value::Text("bank.example"))]);
    if failed {
        return None;
    }
    let sent = trace.add(post, orders, PRODUCER, "orders publish", (17_500 + bank_us, 700));
    trace.with(&KAFKA);
    Some(sent)
}
