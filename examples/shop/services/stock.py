"""What there is to buy, in the database that it shares with cart."""

import os
import random
import time

from database import PRODUCTS, connection
from service import faults, serve


def products(_request):
    first = random.randrange(PRODUCTS - 20)
    column = "lower(sku)" if "slow-query" in faults else "sku"
    with connection() as cursor:
        statement = f"SELECT sku, name, cents FROM products WHERE {column} >= ? ORDER BY {column} LIMIT 20"
        rows = cursor.execute(statement, [f"sku-{first:05}"]).fetchall()
    return {"products": [{"sku": sku, "name": name, "cents": cents} for sku, name, cents in rows]}


def reserve(request):
    cents = 0
    column = "lower(sku)" if "slow-query" in faults else "sku"
    with connection() as cursor:
        for sku, count in sorted(request.body["items"].items()):
            cursor.execute(f"SELECT cents FROM products WHERE {column} = ? ORDER BY left", [sku])
            cents += count * cursor.fetchone()[0]
        # Last, as nobody else can write from the first of these to the end.
        for sku, count in sorted(request.body["items"].items()):
            cursor.execute("UPDATE products SET left = left - ? WHERE sku = ?", [count, sku])
    return {"cents": cents}


def die():
    """Gone wrong, the process ends a while after each start, and leaves no word, as one that the system kills."""
    while "crash" not in faults:
        time.sleep(0.1)
    time.sleep(random.uniform(1.0, 2.0))
    os._exit(137)


if __name__ == "__main__":
    serve({"GET /products": products, "POST /reservations": reserve}, {"slow-query", "crash"}, [die])
