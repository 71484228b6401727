"""The front of the shop: what customers ask for, put together from the services behind."""

import random
import threading
import time

from service import call, faults, serve

# So many pages are made at the same time.
makers = threading.BoundedSemaphore(2)


def render(parts):
    """A page; some milliseconds of work."""
    with makers:
        # A bestseller is shown beside. Gone wrong, it is looked for in all that was ever sold, for each page.
        best = max(range(1_200_000 if "busy" in faults else 1000), key=lambda n: n * 7919 % 1009)
        rows = "".join(f"<tr><td>{key}</td><td>{value}</td></tr>" for key, value in parts.items())
    time.sleep(random.uniform(0.001, 0.003))
    return {"page": f"<table>{rows}</table>", "best": best}


def products(request):
    return render({part["sku"]: part["name"] for part in call("stock", "GET", "/products")["products"]})


def show_cart(request):
    return render(call("cart", "GET", f"/items?owner={request.query['owner']}")["items"])


def fill_cart(request):
    return render(call("cart", "POST", "/items", request.body))


def checkout(request):
    return render(call("checkout", "POST", "/orders", request.body, timeout_s=6.0))


if __name__ == "__main__":
    routes = {
        "GET /products": products,
        "GET /cart": show_cart,
        "POST /cart": fill_cart,
        "POST /checkout": checkout,
    }
    serve(routes, {"busy"})
