"""The provider outside that charges cards. Nobody sees into it."""

import json
import random
import time

import plain


def charge(_body):
    time.sleep(random.uniform(0.6, 1.2) if "slow" in plain.faults else random.uniform(0.02, 0.04))
    return 200, json.dumps({"id": f"ch_{random.randrange(10**9):09}"}).encode()


if __name__ == "__main__":
    plain.serve("api.cardpay.example", {"/v1/charges": charge}, {"slow"})
