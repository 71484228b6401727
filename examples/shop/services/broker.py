"""The message broker: bounded queues in memory. Like most brokers it sends no spans, only metrics."""

import queue

from prometheus_client import Counter, Gauge

import plain

MOST_MESSAGES = 20
orders = queue.Queue(MOST_MESSAGES)
DEPTH = Gauge("queue_depth", "Messages that wait", ["queue"])
DEPTH.labels("orders").set_function(orders.qsize)
PUBLISHED = Counter("queue_published", "Messages taken", ["queue"])
DELIVERED = Counter("queue_delivered", "Messages given to consumers", ["queue"])


def publish(body):
    try:
        # A full queue makes producers wait a little before they are refused.
        orders.put(body, timeout=0.5)
    except queue.Full:
        return 503, f"queue orders is full: {MOST_MESSAGES} messages\n".encode()
    PUBLISHED.labels("orders").inc()
    return 201, b"{}"


def deliver(_body):
    try:
        message = orders.get(timeout=2)
    except queue.Empty:
        return 204, b""
    DELIVERED.labels("orders").inc()
    return 200, message


if __name__ == "__main__":
    plain.serve("broker", {"/queues/orders/messages": publish, "/queues/orders/next": deliver})
