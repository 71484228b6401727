#!/usr/bin/env python3
"""Makes the two case folders beside this file. Standard library only; the same seed gives the same bytes.

    python3 datasets/generate.py           writes the folders
    python3 datasets/generate.py --check   says whether what lies there is what would be written

A request is played from its entry down: every handler spends time of its own (log-normal), calls others one after the
other or at once, and fails when something that it needs fails. The fault is one rule in one service; everything else
that happens follows from it.
"""

import gzip
import io
import json
import random
import sys
from datetime import datetime, timezone
from math import log
from pathlib import Path

HERE = Path(__file__).resolve().parent
MS = 1_000  # microseconds


def instant(text):
    """Unix microseconds of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 1_000_000


def rfc3339(at_us):
    return datetime.fromtimestamp(at_us / 1_000_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Span:
    __slots__ = ("trace", "id", "parent", "service", "instance", "version", "kind", "name", "start", "end", "tags",
                 "error")

    def __init__(self, **fields):
        for name, value in fields.items():
            setattr(self, name, value)


class Pod:
    """One instance of a service, alive from `since` to `until`."""

    def __init__(self, name, version, since=0, until=1 << 62):
        self.name, self.version, self.since, self.until = name, version, since, until


class System:
    """Services, their handlers, and the spans of every request played."""

    def __init__(self, seed, pods, handlers, fault):
        self.random = random.Random(seed)
        self.pods, self.handlers, self.fault = pods, handlers, fault
        self.spans, self.traces = [], 0

    def lognormal(self, median_us, sigma):
        return max(int(self.random.lognormvariate(log(median_us), sigma)), 20)

    def request(self, service, operation, at):
        """A request from outside; gives its end and whether it succeeded."""
        self.traces += 1
        # Made identifiers: a counter, so that nobody takes them for real ones and the files stay small.
        self.trace, self.count = f"{0x6d616465:016x}{self.traces:016x}", 0
        return self.serve(service, operation, None, at)

    def new_id(self):
        self.count += 1
        return f"{self.traces:012x}{self.count:04x}"

    def span(self, parent, service, pod, kind, name, start, tags):
        span = Span(trace=self.trace, id=self.new_id(), parent=parent, service=service, instance=pod.name,
                    version=pod.version, kind=kind, name=name, start=start, end=start, tags=tags, error=None)
        self.spans.append(span)
        return span

    def pod(self, service, at):
        return self.random.choice([p for p in self.pods[service] if p.since <= at < p.until])

    def serve(self, service, operation, parent, at, kind="server"):
        """Handles a request; gives its end and the error, if any."""
        pod = self.pod(service, at)
        span = self.span(parent, service, pod, kind, operation, at, {})
        steps, error = self.handlers[service, operation], None
        now = at
        for step in steps:
            now, failed = self.step(step, span, pod, now)
            if failed:
                error = failed
                break
        span.end, span.error = now, error
        if kind == "server":
            span.tags["http.response.status_code"] = 500 if error else 200
        return now, error

    def step(self, step, span, pod, now):
        what, *rest = step
        if what == "own":
            median_ms, sigma = rest
            extra, error = self.fault(self.random, span.service, span.name, now)
            return now + self.lognormal(median_ms * MS, sigma) + extra, error
        if what == "call":
            return self.call(span, pod, *rest, now)
        if what == "try":  # a failure of this call is tolerated
            end, _ = self.call(span, pod, *rest, now)
            return end, None
        if what == "at once":
            ends = [self.call(span, pod, *call, now) for call in rest]
            return max(end for end, _ in ends), next((e for _, e in ends if e), None)
        if what == "database":
            return self.database(span, pod, *rest, now)
        assert what == "publish", what
        return self.publish(span, pod, *rest, now)

    def call(self, span, pod, service, operation, now):
        tags = {"server.address": service}
        client = self.span(span.id, span.service, pod, "client", operation, now, tags)
        there, back = self.lognormal(400, 0.3), self.lognormal(350, 0.3)
        end, error = self.serve(service, operation, client.id, now + there)
        client.end, client.error = end + back, error
        tags["http.response.status_code"] = 500 if error else 200
        return client.end, error

    def database(self, span, pod, name, system, query, median_ms, now):
        tags = {"db.system.name": system, "db.namespace": name, "server.address": name}
        client = self.span(span.id, span.service, pod, "client", query, now, tags)
        client.end = now + self.lognormal(median_ms * MS, 0.35)
        return client.end, None

    def publish(self, span, pod, topic, consumer, operation, now):
        tags = {"messaging.system": "kafka", "messaging.destination.name": topic}
        producer = self.span(span.id, span.service, pod, "producer", f"send {topic}", now, dict(tags))
        producer.end = now + self.lognormal(900, 0.3)
        end_before = len(self.spans)
        self.serve(consumer, operation, producer.id, producer.end + self.lognormal(30 * MS, 0.6), kind="consumer")
        self.spans[end_before].tags.update(tags)
        return producer.end, None


def arrivals(rng, start, end, per_second):
    """Instants of requests, Poisson."""
    at = start
    while True:
        at += int(rng.expovariate(per_second) * 1_000_000)
        if at >= end:
            return
        yield at


def play(system, start, end, per_second, mix):
    rng = random.Random(system.random.random())
    entries = [entry for entry, _ in mix]
    weights = [weight for _, weight in mix]
    for at in arrivals(rng, start, end, per_second):
        service, operation = rng.choices(entries, weights)[0]
        system.request(service, operation, at)


# --- wire formats ---------------------------------------------------------------------------------------------------

OTLP_KINDS = {"server": 2, "client": 3, "producer": 4, "consumer": 5}


def otlp_value(value):
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def otlp_attributes(tags):
    return [{"key": key, "value": otlp_value(value)} for key, value in tags.items()]


def otlp_span(span):
    out = {"traceId": span.trace, "spanId": span.id, "parentSpanId": span.parent or "", "name": span.name,
           "kind": OTLP_KINDS[span.kind], "startTimeUnixNano": str(span.start * 1000),
           "endTimeUnixNano": str(span.end * 1000), "attributes": otlp_attributes(span.tags), "status": {}}
    if span.error:
        out["status"] = {"code": 2, "message": span.error}
    return out


def otlp_lines(spans, batch_us=10_000_000):
    """As the OpenTelemetry Collector's file exporter writes them: a line for each batch, grouped by resource."""
    batches = {}
    for span in spans:
        batches.setdefault(span.end // batch_us, []).append(span)
    for _, batch in sorted(batches.items()):
        resources = {}
        for span in batch:
            resources.setdefault((span.service, span.instance, span.version), []).append(span)
        line = []
        for (service, instance, version), group in sorted(resources.items()):
            resource = {"service.name": service, "service.version": version, "service.instance.id": instance}
            group.sort(key=lambda s: (s.end, s.id))
            line.append({"resource": {"attributes": otlp_attributes(resource)},
                         "scopeSpans": [{"scope": {"name": "made"}, "spans": [otlp_span(s) for s in group]}]})
        yield json.dumps({"resourceSpans": line}, separators=(",", ":")) + "\n"


def jaeger(spans):
    """As Jaeger's /api/traces answers."""
    traces = {}
    for span in spans:
        traces.setdefault(span.trace, []).append(span)
    data = []
    for trace, group in sorted(traces.items()):
        processes = {}
        out = []
        for span in sorted(group, key=lambda s: (s.start, s.id)):
            key = processes.setdefault((span.service, span.instance, span.version), f"p{len(processes) + 1}")
            tags = [{"key": "span.kind", "type": "string", "value": span.kind}]
            for name, value in span.tags.items():
                kind = "int64" if isinstance(value, int) else "string"
                tags.append({"key": name, "type": kind, "value": value})
            if span.error:
                tags.append({"key": "error", "type": "bool", "value": True})
                tags.append({"key": "otel.status_code", "type": "string", "value": "ERROR"})
                tags.append({"key": "otel.status_description", "type": "string", "value": span.error})
            references = []
            if span.parent:
                references = [{"refType": "CHILD_OF", "traceID": trace, "spanID": span.parent}]
            out.append({"traceID": trace, "spanID": span.id, "operationName": span.name, "references": references,
                        "startTime": span.start, "duration": span.end - span.start, "tags": tags, "logs": [],
                        "processID": key, "warnings": None})
        named = {}
        for (service, instance, version), key in processes.items():
            named[key] = {"serviceName": service, "tags": [
                {"key": "service.instance.id", "type": "string", "value": instance},
                {"key": "service.version", "type": "string", "value": version}]}
        data.append({"traceID": trace, "spans": out, "processes": named, "warnings": None})
    answer = {"data": data, "total": 0, "limit": 0, "offset": 0, "errors": None}
    return json.dumps(answer, separators=(",", ":")) + "\n"


class OpenMetrics:
    """Text exposition with timestamps: families in order, each series' samples in order of time."""

    def __init__(self):
        self.families = {}

    def add(self, family, kind, labels, samples):
        self.families.setdefault((family, kind), []).append((labels, samples))

    def text(self):
        lines = []
        for (family, kind), series in self.families.items():
            lines.append(f"# TYPE {family} {kind}")
            name = family + ("_total" if kind == "counter" else "")
            for labels, samples in series:
                inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
                lines += [f"{name}{{{inside}}} {value} {at // 1_000_000}" for at, value in samples]
        return "\n".join(lines + ["# EOF", ""])


# --- the cases ------------------------------------------------------------------------------------------------------


def checkout_db_latency():
    """Nine services. The connection pool of payments shrinks: its requests wait inside it, its database is idle."""
    start, end = instant("2026-03-02T10:00:00"), instant("2026-03-02T10:15:00")
    fault_at, deploy_at = instant("2026-03-02T10:10:20"), instant("2026-03-02T10:08:30")

    def fault(rng, service, operation, now):
        if service != "payments" or now < fault_at or rng.random() > 0.9:
            return 0, None
        wait = int(rng.lognormvariate(log(950 * MS), 0.5))
        if wait > 3_000 * MS:
            return 3_000 * MS, "no connection from the pool within 3 s"
        return wait, None

    handlers = {
        ("frontend", "GET /"): [("own", 3, 0.3), ("call", "catalog", "ListProducts"),
                                ("at once", ("recommendation", "ListRecommendations"), ("currency", "Convert")),
                                ("own", 4, 0.3)],
        ("frontend", "GET /cart"): [("own", 2, 0.3), ("call", "cart", "GetCart"), ("call", "currency", "Convert"),
                                    ("own", 2, 0.3)],
        ("frontend", "POST /checkout"): [("own", 4, 0.3), ("call", "checkout", "PlaceOrder"), ("own", 3, 0.3)],
        ("checkout", "PlaceOrder"): [("own", 5, 0.3), ("call", "cart", "GetCart"), ("call", "catalog", "GetProduct"),
                                     ("call", "currency", "Convert"), ("own", 3, 0.3),
                                     ("call", "payments", "Charge"), ("call", "shipping", "ShipOrder"),
                                     ("publish", "orders", "mailer", "process orders"), ("own", 2, 0.3)],
        ("payments", "Charge"): [("own", 18, 0.3), ("database", "payments-db", "postgresql", "INSERT charges", 6)],
        ("cart", "GetCart"): [("own", 2, 0.3), ("database", "cart-redis", "redis", "HGETALL", 1)],
        ("catalog", "ListProducts"): [("own", 4, 0.3), ("database", "catalog-db", "mysql", "SELECT products", 8)],
        ("catalog", "GetProduct"): [("own", 2, 0.3), ("database", "catalog-db", "mysql", "SELECT products", 3)],
        ("recommendation", "ListRecommendations"): [("own", 25, 0.9), ("call", "catalog", "GetProduct")],
        ("currency", "Convert"): [("own", 1, 0.3)],
        ("shipping", "ShipOrder"): [("own", 12, 0.3)],
        ("mailer", "process orders"): [("own", 60, 0.4)],
    }
    pods = {
        "frontend": [Pod("frontend-7d9f6c5b8-4xkzq", "3.2.0"), Pod("frontend-7d9f6c5b8-t9wvn", "3.2.0")],
        "checkout": [Pod("checkout-5c8b7f9d6-2ljhd", "1.9.4")],
        "payments": [Pod("payments-6f7c9d4b5-x2x7q", "2.0.11"), Pod("payments-6f7c9d4b5-kk4mz", "2.0.11")],
        "cart": [Pod("cart-84d7c6b9f-n5v8t", "1.3.0")],
        # A deployment a minute and a half before the incident, which changed nothing.
        "catalog": [Pod("catalog-6b5d8f7c9-h7jrw", "1.14.2", until=deploy_at),
                    Pod("catalog-79c4b8d6f-q8zsl", "1.14.3", since=deploy_at)],
        "recommendation": [Pod("recommendation-5f6d9c8b7-w4b2x", "0.8.1")],
        "currency": [Pod("currency-9b8c7d6f5-m6kpt", "1.0.2")],
        "shipping": [Pod("shipping-4d5f6b7c8-z7g5v", "1.5.5")],
        "mailer": [Pod("mailer-8c7b6d5f9-r2cxk", "0.4.0")],
    }
    system = System(11, pods, handlers, fault)
    mix = [(("frontend", "GET /"), 40), (("frontend", "GET /cart"), 20), (("frontend", "POST /checkout"), 40)]
    play(system, start, end, 0.85, mix)
    alert = {
        "version": "4", "groupKey": "{}:{alertname=\"FrontendLatencyHigh\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "hypocenter", "groupLabels": {"alertname": "FrontendLatencyHigh"},
        "commonLabels": {"alertname": "FrontendLatencyHigh", "service": "frontend", "severity": "page"},
        "commonAnnotations": {"summary": "frontend answers slowly: p99 above 1 s for 90 s"},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [{
            "status": "firing",
            "labels": {"alertname": "FrontendLatencyHigh", "service": "frontend", "severity": "page"},
            "annotations": {"summary": "frontend answers slowly: p99 above 1 s for 90 s"},
            "startsAt": "2026-03-02T10:12:00Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example:9090/graph?g0.expr=histogram_quantile%280.99%2C+sum+by+%28le%29+"
                            "%28rate%28http_server_request_duration_seconds_bucket%7Bservice%3D%22frontend%22%7D%5B1m"
                            "%5D%29%29%29+%3E+1&g0.tab=1",
            "fingerprint": "5ea1c0de5ea1c0de"}],
    }
    return {
        "traces.jsonl.gz": "".join(otlp_lines(system.spans)),
        "metrics.om.gz": shop_metrics(system, pods, start, end, fault_at),
        "alert.json": json.dumps(alert, indent=2) + "\n",
    }


def shop_metrics(system, pods, start, end, fault_at):
    """Resources of every pod each 15 s, as cAdvisor names them, and the pool of payments."""
    rng = random.Random(15)
    metrics = OpenMetrics()
    step = 15_000_000
    busy = {}  # CPU follows the work done, not the time spent waiting
    for span in system.spans:
        if span.kind in ("server", "consumer"):
            key = span.instance, span.start // step
            busy[key] = busy.get(key, 0) + 1
    cpu, memory, sockets = [], [], []
    for service, group in pods.items():
        for pod in group:
            labels = {"namespace": "shop", "pod": pod.name, "container": service}
            total, level = rng.uniform(50, 900), rng.uniform(60, 300) * 1024 * 1024
            series = [], [], []
            for at in range(start, end + 1, step):
                if not pod.since <= at < pod.until:
                    continue
                per_request = 0.02 if service != "recommendation" else 0.08
                spike = 1.2 if service == "recommendation" and rng.random() < 0.08 else 0.0
                total += busy.get((pod.name, at // step - 1), 0) * per_request + rng.uniform(0.15, 0.3) + spike
                level += rng.gauss(0, 150_000)
                series[0].append((at, f"{total:.3f}"))
                series[1].append((at, int(level)))
                series[2].append((at, 12 + busy.get((pod.name, at // step), 0) // 2 + rng.randrange(3)))
            for rows, samples in zip((cpu, memory, sockets), series):
                rows.append((labels, samples))
    for family, kind, rows in (("container_cpu_usage_seconds", "counter", cpu),
                               ("container_memory_working_set_bytes", "gauge", memory),
                               ("container_sockets", "gauge", sockets)):
        for labels, samples in rows:
            metrics.add(family, kind, labels, samples)
    for pod in pods["payments"]:
        labels = {"service_name": "payments", "service_instance_id": pod.name, "pool_name": "payments-db"}
        waiting = [(at, 0 if at < fault_at else rng.randrange(1, 6)) for at in range(start, end + 1, step)]
        metrics.add("db_client_connections_pending_requests", "gauge", labels, waiting)
    return metrics.text()


def inventory_errors():
    """Six services. A new version of inventory refuses reservations; pricing fails now and then, as it always did."""
    start, end = instant("2026-03-04T14:10:00"), instant("2026-03-04T14:25:00")
    fault_at = instant("2026-03-04T14:20:10")

    def fault(rng, service, operation, now):
        if service == "inventory" and operation == "Reserve" and now >= fault_at and rng.random() < 0.6:
            return 0, "reservation refused: negative stock for a known article"
        if service == "pricing" and rng.random() < 0.04:
            return 0, "price list not loaded"
        return 0, None

    handlers = {
        ("gateway", "POST /orders"): [("own", 2, 0.3), ("call", "orders", "CreateOrder"), ("own", 1, 0.3)],
        ("gateway", "GET /search"): [("own", 2, 0.3), ("call", "search", "Search"), ("own", 1, 0.3)],
        ("orders", "CreateOrder"): [("own", 4, 0.3), ("try", "pricing", "Quote"), ("call", "inventory", "Reserve"),
                                    ("database", "orders-db", "postgresql", "INSERT orders", 5),
                                    ("call", "billing", "Invoice"), ("own", 2, 0.3)],
        ("search", "Search"): [("own", 9, 0.4), ("call", "inventory", "CheckStock"), ("own", 2, 0.3)],
        ("inventory", "Reserve"): [("database", "inventory-db", "postgresql", "SELECT stock", 4), ("own", 5, 0.3)],
        ("inventory", "CheckStock"): [("own", 2, 0.3), ("database", "inventory-db", "postgresql", "SELECT stock", 3)],
        ("pricing", "Quote"): [("own", 7, 0.4)],
        ("billing", "Invoice"): [("own", 11, 0.3)],
    }
    pods = {
        "gateway": [Pod("gateway-1", "5.1.0")],
        "orders": [Pod("orders-1", "2.7.3"), Pod("orders-2", "2.7.3")],
        "inventory": [Pod("inventory-1", "2.3.0", until=fault_at), Pod("inventory-2", "2.4.0", since=fault_at)],
        "pricing": [Pod("pricing-1", "0.9.9")],
        "search": [Pod("search-1", "4.0.1")],
        "billing": [Pod("billing-1", "1.1.0")],
    }
    system = System(20260304, pods, handlers, fault)
    play(system, start, end, 1.0, [(("gateway", "POST /orders"), 55), (("gateway", "GET /search"), 45)])
    return {"traces.json.gz": jaeger(system.spans)}


def packed(name, text):
    """The bytes of a file. gzip without a time and without a name: nothing but the text decides them."""
    if not name.endswith(".gz"):
        return text.encode()
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as file:
        file.write(text.encode())
    return out.getvalue()


def unpacked(name, data):
    return gzip.decompress(data).decode() if name.endswith(".gz") else data.decode()


def main():
    check, wrong = sys.argv[1:] == ["--check"], []
    for folder, make in (("checkout-db-latency", checkout_db_latency), ("inventory-errors", inventory_errors)):
        for name, text in make().items():
            path = HERE / folder / name
            if check:
                # The text is compared: another zlib may compress the same text into other bytes.
                if not path.exists() or unpacked(name, path.read_bytes()) != text:
                    wrong.append(str(path))
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(packed(name, text))
    for path in wrong:
        print(f"{path} is not what this script makes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
