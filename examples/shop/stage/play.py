"""Plays faults: each is switched on, an alert fires, a ticket is written, and the fault is switched off again."""

import html
import json
import re
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from urllib.parse import quote

from .world import Broken, get

# The first fault needs something to compare with; later ones the calm after the one before.
WARM_UP_S = 45
CALM_S = 36
ALERT_WITHIN_S = 60
REPORT_WITHIN_S = 60


@dataclass
class Outcome:
    """What came of one fault. Times are in seconds: the alert's since the fault, the report's since the alert."""

    fault: str
    what: str
    guilty: list
    alert: str = ""
    alert_after_s: float | None = None
    report_after_s: float | None = None
    named: str = ""
    """What the first report names first."""
    sure: str = ""
    verdict: str = ""
    ticket: str = ""
    right: bool = False


def play(world, tickets, fault, say):
    """Plays one fault in a world that is calm."""
    outcome = Outcome(fault.name, fault.what, list(fault.guilty))
    say(f"{fault.name}: {fault.what}")
    began = time.time()
    fault.on(world)
    try:
        alert = wait(world, ALERT_WITHIN_S, lambda: firing(world))
        if alert is None:
            say("  no alert fired")
            return outcome
        outcome.alert, fired = alert
        outcome.alert_after_s = round(fired - began, 1)
        say(f"  alert {outcome.alert} after {outcome.alert_after_s} s")
        ticket = wait(world, REPORT_WITHIN_S, lambda: next(iter(tickets.since(began)), None))
        if ticket is None:
            say(f"  no ticket within {REPORT_WITHIN_S} s")
            return outcome
        outcome.report_after_s = round(ticket.written_at[0] - fired, 1)
        outcome.ticket = str(tickets.path(ticket))
        outcome.verdict, outcome.named, outcome.sure = read(ticket.first_body)
        outcome.right = outcome.named in fault.guilty and outcome.report_after_s <= REPORT_WITHIN_S
        said = f"{outcome.verdict}: {outcome.named} ({outcome.sure})" if outcome.named else outcome.verdict
        judged = "right" if outcome.right else "WRONG"
        say(f"  ticket {ticket.id} after {outcome.report_after_s} s more: {said}, {judged}")
        return outcome
    finally:
        fault.off(world)


def wait(world, seconds, look):
    """What `look` finds within that time, else none."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := look():
            return found
        world.tick(0.2)
    return None


def firing(world):
    """The alert that Alertmanager has longest, with its start; none while all is well."""
    alerts = json.loads(get(world.url("alertmanager", "/api/v2/alerts?active=true")))
    starts = [(datetime.fromisoformat(a["startsAt"].replace("Z", "+00:00")).timestamp(), a) for a in alerts]
    if not starts:
        return None
    start, first = min(starts, key=lambda pair: pair[0])
    return first["labels"]["alertname"], start


def calm(world, seconds=CALM_S):
    """Waits until no alert fires and what there is to compare with is normal."""
    began = time.monotonic()
    if not wait(world, 90, lambda: not firing(world) and not pending(world)):
        raise Broken("an alert goes on though no fault is switched on: is this machine too busy?")
    world.tick(max(0.0, seconds - (time.monotonic() - began)))


def pending(world):
    answer = get(world.url("prometheus", f"/api/v1/query?query={quote('ALERTS')}"))
    return json.loads(answer)["data"]["result"]


def read(report):
    """Verdict, first cause and its probability, as the report's Markdown has them."""
    head = re.search(r"^## (.+?)(?:: (.+))?$", report, re.MULTILINE)
    if not head:
        return "not a report", "", ""
    causes = head[2].split(", ") if head[2] else []
    sure = re.search(r"^\*\*.+?\*\*: (\S+ %)", report, re.MULTILINE)
    named = re.sub(r"\\(.)", r"\1", causes[0]) if causes else ""
    return head[1], html.unescape(named), html.unescape(sure[1]) if sure else ""


def as_json(outcomes):
    right = sum(outcome.right for outcome in outcomes)
    return json.dumps({"right": right, "faults": [asdict(outcome) for outcome in outcomes]}, indent=2)


def as_table(outcomes):
    """A table in Markdown, as the README has it."""
    rows = [
        "| fault | what goes wrong | guilty | alert | report | it names | |",
        "| --- | --- | --- | ---: | ---: | --- | --- |",
    ]

    def seconds(value):
        return "none" if value is None else f"{value:.0f} s"

    for outcome in outcomes:
        named = f"{outcome.named}, {outcome.sure}" if outcome.named else outcome.verdict.lower() or "nothing"
        times = f"{seconds(outcome.alert_after_s)} | {seconds(outcome.report_after_s)}"
        verdict = "right" if outcome.right else "**wrong**"
        guilty = " or ".join(outcome.guilty)
        rows.append(f"| `{outcome.fault}` | {outcome.what} | {guilty} | {times} | {named} | {verdict} |")
    right = sum(outcome.right for outcome in outcomes)
    longest = max((o.report_after_s for o in outcomes if o.report_after_s is not None), default=None)
    rows += ["", f"{right} of {len(outcomes)} right; the slowest report {seconds(longest)} after its alert."]
    return "\n".join(rows)
