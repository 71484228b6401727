"""What the services of the shop have in common: telemetry, a server, calls to each other, switches for faults.

Telemetry is what the official OpenTelemetry instrumentations make of it, sent by OTLP; metrics are those of
prometheus_client under /metrics. A service is a table of routes:

    serve({"GET /products": products}, faults={"slow-query"})

`products(request)` gives what is answered as JSON, or raises `Failed`.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from http import HTTPStatus
from socketserver import ThreadingMixIn
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import urllib3
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

NAME = os.environ["OTEL_SERVICE_NAME"]
VERSION = os.environ["SHOP_VERSION"]
log = logging.getLogger(NAME)
tracer = trace.get_tracer("shop")
faults = set()
"""The faults that are switched on."""

REQUESTS = Counter("http_requests", "Requests answered", ["method", "route", "code"])
BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)
DURATION = Histogram("http_request_duration_seconds", "Time to answer", ["method", "route"], buckets=BUCKETS)
SLOW_S = 0.5


class Failed(Exception):
    """A request that cannot be answered as wished."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = HTTPStatus(status)


def _send_telemetry():
    resource = Resource.create({"service.version": VERSION, "service.instance.id": f"{NAME}-0"})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(compression=Compression.Gzip)))
    trace.set_tracer_provider(traces)
    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(compression=Compression.Gzip)))
    set_logger_provider(logs)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    for instrumentor in (LoggingInstrumentor, SQLite3Instrumentor, URLLib3Instrumentor):
        instrumentor().instrument()


def _resolve_names():
    """The names of the shop's hosts lead to this machine, as the DNS of a cluster would lead to others."""
    hosts = json.loads(os.environ["SHOP_HOSTS"])
    resolve = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *args, **kwargs: resolve("127.0.0.1" if host in hosts else host, *args, **kwargs)
    return hosts


HOSTS = _resolve_names()
_pool = urllib3.PoolManager(maxsize=32, retries=False)


def call(host, method, path, body=None, timeout_s=3.0):
    """Calls another service and gives its answer."""
    try:
        answer = _pool.request(method, f"http://{host}:{HOSTS[host]}{path}", json=body, timeout=timeout_s)
    except urllib3.exceptions.TimeoutError as error:
        log.error("%s %s of %s timed out after %s s", method, path, host, timeout_s)
        raise Failed(504, f"{host} did not answer in time") from error
    except urllib3.exceptions.HTTPError as error:
        log.error("%s %s of %s failed: %s", method, path, host, error)
        raise Failed(503, f"{host} cannot be reached") from error
    if answer.status >= 500:
        log.error("%s %s of %s answered %d: %s", method, path, host, answer.status, answer.data.decode()[:200])
        raise Failed(502, f"{host} failed")
    return answer.json()


class Request:
    """A request as a route sees it."""

    def __init__(self, environ):
        self.query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        length = int(environ.get("CONTENT_LENGTH") or 0)
        self.body = json.loads(environ["wsgi.input"].read(length)) if length else None


class App:
    """The routes as WSGI application, which the instrumentation wraps."""

    def __init__(self, routes):
        self.routes = routes

    def __call__(self, environ, start_response):
        try:
            status, answer = HTTPStatus.OK, self.routes[route_of(environ)](Request(environ))
        except Failed as failed:
            status, answer = failed.status, {"error": str(failed)}
        except Exception as error:
            log.exception("%s failed", route_of(environ))
            trace.get_current_span().record_exception(error)
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"}
        return respond(start_response, status, json.dumps(answer).encode(), "application/json")


def respond(start_response, status, body, content_type):
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def route_of(environ):
    return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


class Measured:
    """Counts and times what the application answers; metrics and faults have routes that nobody traces."""

    def __init__(self, app, routes, known_faults):
        self.app, self.routes, self.known_faults = app, routes, known_faults

    def __call__(self, environ, start_response):
        route = route_of(environ)
        if route == "GET /metrics":
            return respond(start_response, HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
        if route == "GET /healthy":
            return respond(start_response, HTTPStatus.OK, b"healthy\n", "text/plain")
        if route == "POST /fault":
            return self.switch(Request(environ).body, start_response)
        if route not in self.routes:
            return respond(start_response, HTTPStatus.NOT_FOUND, b"no such route\n", "text/plain")
        codes, start = [], time.perf_counter()

        def note(status, headers, *rest):
            codes.append(status.split()[0])
            return start_response(status, headers, *rest)

        body = list(self.app(environ, note))
        seconds = time.perf_counter() - start
        method, path = route.split(" ")
        REQUESTS.labels(method, path, codes[0]).inc()
        DURATION.labels(method, path).observe(seconds)
        return body

    def switch(self, body, start_response):
        if body["kind"] not in self.known_faults:
            known = ", ".join(sorted(self.known_faults)) or "none"
            return respond(start_response, HTTPStatus.NOT_FOUND, f"faults of {NAME}: {known}\n".encode(), "text/plain")
        (faults.add if body["on"] else faults.discard)(body["kind"])
        return respond(start_response, HTTPStatus.OK, b"switched\n", "text/plain")


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def log_message(self, *_args):
        """Access is in the traces."""


def serve(routes, known_faults=(), background=()):
    """Serves until SIGTERM; `background` are functions that run beside."""
    _send_telemetry()
    application = Measured(OpenTelemetryMiddleware(App(routes)), routes, known_faults)
    server = Server(("127.0.0.1", HOSTS[NAME]), Handler)
    server.set_app(application)
    # What is not sent yet is sent at the exit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for work in background:
        threading.Thread(target=work, daemon=True).start()
    log.info("%s %s listens on port %d", NAME, VERSION, HOSTS[NAME])
    server.serve_forever()
