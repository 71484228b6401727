"""The front of the shop: what customers ask for, put together from the services behind."""

import random
import time

from service import call, faults, serve


def render(parts):
    """A page; some milliseconds of work."""
    rows = "".join(f"<tr><td>{key}</td><td>{value}</td></tr>" for key, value in parts.items())
    time.sleep(random.uniform(0.001, 0.003))
    return {"page": f"<table>{rows}</table>"}


def products(request):
    return render({part["sku"]: part["name"] for part in call("stock", "GET", "/products")["products"]})


def show_cart(request):
    return render(call("cart", "GET", f"/items?owner={request.query['owner']}")["items"])


def fill_cart(request):
    return render(call("cart", "POST", "/items", request.body))


def checkout(request):
    return render(call("checkout", "POST", "/orders", request.body, timeout_s=6.0))


def recount():
    """Ranks the bestsellers, from time to time. Gone wrong, it never rests."""
    while True:
        runaway = "busy-loop" in faults
        best = sorted(range(20_000 if runaway else 2000), key=lambda n: n * 7919 % 1009)
        assert best
        if not runaway:
            time.sleep(1)


if __name__ == "__main__":
    routes = {
        "GET /products": products,
        "GET /cart": show_cart,
        "POST /cart": fill_cart,
        "POST /checkout": checkout,
    }
    serve(routes, {"busy-loop"}, [recount] * 3)
