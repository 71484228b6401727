"""Takes orders from the queue and writes to the customers."""

import random
import time

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, SpanKind

import queue_client
from service import faults, log, serve, tracer


def consume():
    attributes = {
        "messaging.system": "shop-broker",
        "messaging.destination.name": "orders",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
    }
    while True:
        try:
            envelope = queue_client.receive("orders")
        except queue_client.Refused as refused:
            log.error("cannot take orders: %s", refused)
            time.sleep(1)
            continue
        if envelope is None:
            continue
        sent_by = trace.get_current_span(propagate.extract(envelope["headers"])).get_span_context()
        links, kind = [Link(sent_by)], SpanKind.CONSUMER
        with tracer.start_as_current_span("process orders", kind=kind, links=links, attributes=attributes):
            write(envelope["message"])


def write(message):
    # The mail server takes its time. Gone wrong, it is never content.
    with tracer.start_as_current_span("write mail"):
        time.sleep(3 if "stall" in faults else random.uniform(0.005, 0.015))
    log.info("wrote to %s about %s", message["owner"], message["charge"])


if __name__ == "__main__":
    serve({}, {"stall"}, [consume])
