"""A server with no telemetry but /metrics, for what is not of the shop's making: the broker, the card provider."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

faults = set()


def serve(host, routes, known_faults=()):
    """Each route takes the body and gives status and answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = generate_latest() if self.path == "/metrics" else b"healthy\n"
            self.answer(200, body, CONTENT_TYPE_LATEST)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/fault":
                wish = json.loads(body)
                known = wish["kind"] in known_faults
                if known:
                    (faults.add if wish["on"] else faults.discard)(wish["kind"])
                return self.answer(200 if known else 404, b"", "text/plain")
            route = routes.get(self.path)
            status, answer = route(body) if route else (404, b"no such path\n")
            self.answer(status, answer, "application/json")

        def answer(self, status, body, content_type):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", json.loads(os.environ["SHOP_HOSTS"])[host]), Handler).serve_forever()
