"""Customers: requests to the gateway at random moments, with a given mean rate. Prints nothing, waits for nobody."""

import random
import sys
import threading
import time

import urllib3

gateway, rate_per_s = f"http://127.0.0.1:{sys.argv[1]}", float(sys.argv[2])
# So many are under way at most; who finds no place goes away.
places = threading.BoundedSemaphore(40)
pool = urllib3.PoolManager(maxsize=40, retries=False, timeout=10)


def visit(kind, owner):
    body = {"owner": owner}
    try:
        if kind < 0.45:
            pool.request("GET", f"{gateway}/products")
        elif kind < 0.6:
            pool.request("GET", f"{gateway}/cart?owner={owner}")
        elif kind < 0.75:
            item = {"sku": f"sku-{random.randrange(4000):05}", "count": random.randint(1, 3)}
            pool.request("POST", f"{gateway}/cart", json=body | item)
        else:
            voucher = {"voucher": {"code": "AUTUMN"}} if random.random() < 0.4 else {}
            card = f"{random.choice('1111222334')}{random.randrange(10**15):015}"
            pool.request("POST", f"{gateway}/checkout", json=body | voucher | {"card": card})
    except urllib3.exceptions.HTTPError:
        pass  # a customer who is not served
    finally:
        places.release()


while True:
    time.sleep(random.expovariate(rate_per_s))
    if places.acquire(blocking=False):
        visitor = (random.random(), f"customer-{random.randrange(500)}")
        threading.Thread(target=visit, args=visitor, daemon=True).start()
