"""Orders: reserves what is in the cart, charges the card, and leaves the mail to the mailer."""

import random
import time

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, StatusCode

import queue_client
from service import Failed, VERSION, call, log, serve, tracer


def order(request):
    owner = request.body["owner"]
    items = call("cart", "GET", f"/items?owner={owner}")["items"] or {"sku-00001": 1}
    cents = call("stock", "POST", "/reservations", {"items": items})["cents"]
    cents -= discount(request.body, cents)
    charge = call("payment", "POST", "/charges", {"cents": cents, "card": request.body["card"]}, timeout_s=4.0)
    publish({"owner": owner, "charge": charge["id"], "cents": cents})
    log.info("order of %s for %d cents", owner, cents)
    return {"charge": charge["id"]}


def discount(body, cents):
    time.sleep(random.uniform(0.001, 0.003))
    if VERSION == "1.0.0":
        return cents // 10 if body.get("voucher") else 0
    # What a release brought: vouchers have a share of their own, but old ones have none.
    return cents * body["voucher"]["share"] // 100 if body.get("voucher") else 0


def publish(message):
    attributes = {
        "messaging.system": "shop-broker",
        "messaging.destination.name": "orders",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    with tracer.start_as_current_span("send orders", kind=SpanKind.PRODUCER, attributes=attributes) as span:
        headers = {}
        propagate.inject(headers)
        try:
            queue_client.send("orders", {"headers": headers, "message": message})
        except queue_client.Refused as refused:
            span.set_status(StatusCode.ERROR, str(refused))
            span.record_exception(refused)
            log.error("cannot send to the queue orders: %s", refused)
            raise Failed(503, "the queue takes no more orders") from refused


if __name__ == "__main__":
    serve({"POST /orders": order})
