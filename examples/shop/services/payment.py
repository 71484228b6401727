"""Charges cards at a provider outside, cardpay."""

import random
import time

from service import call, faults, log, serve

RATES = {"1": 1.0, "2": 1.08, "3": 0.86, "4": 10.4}


def charge(request):
    card = request.body["card"]
    # Cards of other countries are charged in their currency.
    country = card[0]
    time.sleep(random.uniform(0.002, 0.004))
    rates = {"1": 1.0, "3": 0.86} if "errors" in faults else RATES
    cents = round(request.body["cents"] * rates[country])
    answer = call("api.cardpay.example", "POST", "/v1/charges", {"cents": cents, "card": card})
    log.info("charged %d cents as %s", cents, answer["id"])
    return {"id": answer["id"]}


if __name__ == "__main__":
    serve({"POST /charges": charge}, {"errors"})
