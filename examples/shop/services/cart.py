"""Carts of customers, in the database that it shares with stock."""

import threading
import time

from database import connection
from service import faults, serve

# Carts are merged and cleared under one lock.
carts = threading.Lock()


def items(request):
    with carts:
        pass
    with connection() as cursor:
        rows = cursor.execute("SELECT sku, count FROM items WHERE owner = ? ORDER BY sku", [request.query["owner"]])
        return {"items": dict(rows.fetchall())}


def add(request):
    body = request.body
    with carts, connection() as cursor:
        cursor.execute("DELETE FROM items WHERE owner = ? AND sku < ?", [body["owner"], body["sku"]])
        statement = "INSERT INTO items VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = excluded.count"
        cursor.execute(statement, [body["owner"], body["sku"], body["count"]])
    return {"added": body["sku"]}


def clear_old():
    """Clears old carts, from time to time. Gone wrong, it keeps the lock for long."""
    while True:
        with carts:
            time.sleep(0.7 if "lock" in faults else 0.001)
        time.sleep(0.05 if "lock" in faults else 1)


if __name__ == "__main__":
    serve({"GET /items": items, "POST /items": add}, {"lock"}, [clear_old])
