"""A small shop in one process, instrumented with the official OpenTelemetry SDK, that sends what it sees by OTLP.

    python shop.py http://127.0.0.1:4318 SECONDS
    python shop.py http://127.0.0.1:4317 SECONDS grpc

frontend calls cart, cart asks a database. In the second half the cart is slow by itself. Prints the windows as
"START END" in Unix seconds, first the normal one.
"""

import random
import sys
import time

from opentelemetry import propagate
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

collector, seconds, over_grpc = sys.argv[1], float(sys.argv[2]), sys.argv[3:] == ["grpc"]
if over_grpc:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


def endpoint(signal):
    """The SDK adds the path to an address of the environment only, and over gRPC there is none."""
    return {"endpoint": collector, "insecure": collector.startswith("http:")} if over_grpc else {"endpoint": f"{collector}/v1/{signal}"}


class Service:
    """One service with its own tracer, meter and logger, as a process of its own would have."""

    def __init__(self, name):
        resource = Resource.create({"service.name": name, "service.version": "1.0", "service.instance.id": name + "-0"})
        gzip = {"compression": Compression.Gzip}
        self.traces = TracerProvider(resource=resource)
        self.traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**endpoint("traces"), **gzip)))
        exporter = OTLPMetricExporter(**endpoint("metrics"))
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
        self.metrics = MeterProvider(resource=resource, metric_readers=[reader])
        self.logs = LoggerProvider(resource=resource)
        self.logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**endpoint("logs"), **gzip)))
        self.tracer = self.traces.get_tracer("shop")
        self.logger = self.logs.get_logger("shop")
        self.duration = self.metrics.get_meter("shop").create_histogram("http.server.request.duration", unit="s")

    def handle(self, route, headers, work):
        start = time.perf_counter()
        context = propagate.extract(headers)
        with self.tracer.start_as_current_span("GET " + route, context=context, kind=SpanKind.SERVER):
            work()
        attributes = {"http.request.method": "GET", "http.route": route, "http.response.status_code": 200}
        self.duration.record(time.perf_counter() - start, attributes)

    def call(self, other, route, work):
        with self.tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"server.address": "localhost"}):
            headers = {}
            propagate.inject(headers)
            other.handle(route, headers, work)

    def query(self):
        attributes = {"db.system.name": "postgresql", "db.namespace": "carts"}
        with self.tracer.start_as_current_span("SELECT carts", kind=SpanKind.CLIENT, attributes=attributes):
            time.sleep(0.002)

    def log(self, message, severity=SeverityNumber.INFO):
        self.logger.emit(body=message, severity_number=severity, timestamp=time.time_ns())

    def stop(self):
        for provider in (self.traces, self.metrics, self.logs):
            provider.shutdown()


frontend, cart = Service("frontend"), Service("cart")
random.seed(7)


def play(until, slow):
    while time.time() < until:

        def work_of_cart():
            cart.query()
            cart.log(f"loaded cart-{random.randrange(1000)}")
            if slow:
                time.sleep(random.uniform(0.03, 0.05))
                waited = f"waited {random.randrange(30, 50)} ms for lock cart-{random.randrange(1000)}"
                cart.log(waited, SeverityNumber.WARN)

        frontend.handle("/", {}, lambda: frontend.call(cart, "/cart", work_of_cart))
        time.sleep(random.uniform(0.002, 0.006))


start = time.time()
middle, end = start + seconds / 2, start + seconds
play(middle, slow=False)
play(end, slow=True)
for service in (frontend, cart):
    service.stop()
# The bins of an analysis are a second wide: the one in which the trouble begins belongs to neither window.
print(start, middle - 1)
print(middle, end)
