"""The database of cart and stock: a SQLite file on a slow disk."""

import os
import sqlite3
import threading
import time

PATH = os.environ["SHOP_DATABASE"]
PRODUCTS = 5000
# A statement that does so much work has read pages that are not in memory; each such read takes a while.
INSTRUCTIONS_PER_READ = 1000
READ_S = 0.006

_idle = []
_lock = threading.Lock()


def create():
    """Makes the tables, once, before any service starts."""
    connection = sqlite3.connect(PATH)
    connection.executescript(
        """
        PRAGMA journal_mode = WAL;
        CREATE TABLE products (sku TEXT PRIMARY KEY, name TEXT, cents INTEGER, left INTEGER);
        CREATE TABLE items (owner TEXT, sku TEXT, count INTEGER, PRIMARY KEY (owner, sku));
        """
    )
    rows = ((f"sku-{n:05}", f"Product {n}", 100 + n * 7 % 9000, 1_000_000) for n in range(PRODUCTS))
    connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()


class connection:
    """A connection of the pool: `with connection() as cursor`. What is written is committed at the end."""

    def __enter__(self):
        with _lock:
            self.connection = _idle.pop() if _idle else None
        if self.connection is None:
            # Threads come and go with requests; a connection is used by one at a time.
            self.connection = sqlite3.connect(PATH, timeout=5, check_same_thread=False)
            self.connection.set_progress_handler(lambda: time.sleep(READ_S), INSTRUCTIONS_PER_READ)
        return self.connection.cursor()

    def __exit__(self, kind, *_):
        self.connection.rollback() if kind else self.connection.commit()
        with _lock:
            _idle.append(self.connection)


if __name__ == "__main__":
    create()
