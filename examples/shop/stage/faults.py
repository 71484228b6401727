"""The faults that can be switched on, and which service is to blame for each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What is switched where, and whom a report has to name: the first of these, or another that is as right."""

    name: str
    guilty: tuple
    kind: str
    what: str

    def on(self, world):
        if self.kind == "deploy":
            world.deploy(self.guilty[0], "1.1.0")
        else:
            world.switch(self.guilty[0], self.kind, True)

    def off(self, world):
        if self.kind == "deploy":
            world.deploy(self.guilty[0], "1.0.0")
        else:
            world.switch(self.guilty[0], self.kind, False)


FAULTS = [
    Fault(
        "payment-errors", ("payment",), "errors", "the table of exchange rates lost two currencies; those cards fail"
    ),
    Fault("stock-slow-query", ("stock",), "slow-query", "a query no longer uses its index and reads the whole table"),
    Fault("checkout-deploy", ("checkout",), "deploy", "version 1.1.0 fails for orders with an old voucher"),
    Fault("cart-lock", ("cart",), "lock", "a clean-up keeps the lock of all carts for long"),
    Fault("cardpay-slow", ("api.cardpay.example",), "slow", "the provider outside answers after a second"),
    Fault(
        "gateway-busy",
        ("gateway",),
        "busy",
        "each page looks through all that was ever sold, which takes the processor",
    ),
    Fault("stock-crash", ("stock",), "crash", "the process dies a second or two after each start"),
    Fault("mailer-stall", ("mailer",), "stall", "each mail takes three seconds; the queue fills up and refuses orders"),
]
