"""What the notebooks share: running the program, reading its JSON, and drawing candidates."""

import json
import os
import shutil
import subprocess
from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

# The notebooks lie one folder below the top of the repository; paths that they show begin there.
ROOT = Path(__file__).resolve().parent.parent

OURS, OTHERS, PALE = "tab:red", "tab:gray", "lightgray"
plt.rcParams.update({"figure.dpi": 80, "axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
pd.options.display.max_colwidth = None
pd.options.display.max_rows = None


def program():
    """The program: from the variable HYPOCENTER, built in this repository, or on the path."""
    named = os.environ.get("HYPOCENTER")
    built = ROOT / "target" / "release" / "hypocenter"
    for candidate in (named, built, shutil.which("hypocenter")):
        if candidate and Path(candidate).is_file():
            return str(Path(candidate).resolve())
    raise FileNotFoundError("no hypocenter: build it with `cargo build --release`, or name it in HYPOCENTER")


def run(*arguments, accept=(0,)):
    """What the program answers in JSON. Its messages become the exception where it ends with another code."""
    done = subprocess.run([program(), *arguments, "-o", "json"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in accept or not done.stdout:
        raise RuntimeError(f"hypocenter {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def instant(text):
    """A time of a report. Nine decimals are more than datetime reads."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}+00:00")


def words(name):
    """An identifier of the JSON, for people."""
    return name.replace("_", " ")


def measured(value, unit):
    """A value with its unit, as people write it; empty where there is none."""
    if value is None:
        return ""
    if unit == "seconds":
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "ratio":
        return f"{value:.1%}"
    return f"{value:.3g} {words(unit)}"


def candidates(report):
    """All candidates of a report, causes first."""
    return [cause["candidate"] for cause in report["causes"]] + report["alternatives"]


def name(candidate):
    """What a candidate blames: a service, or a call between two."""
    suspect = candidate["suspect"]
    return f"{suspect['caller']} → {suspect['service']}" if suspect.get("caller") else suspect["service"]


def draw_candidates(report, most=8):
    """Evidence in bits, stacked by kind, and beside it the probabilities that it comes to."""
    shown = candidates(report)[:most]
    rows = range(len(shown) + 1)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 1.6 + 0.4 * len(shown)), sharey=True, width_ratios=(3, 2), layout="constrained"
    )
    kinds = sorted({part["modality"] for candidate in shown for part in candidate["bits_by_modality"]})
    ends = {sign: [0.0] * len(shown) for sign in (1, -1)}
    for kind in kinds:
        bits = [sum(p["bits"] or 0.0 for p in c["bits_by_modality"] if p["modality"] == kind) for c in shown]
        # What speaks against a candidate is stacked to the left of zero.
        starts = [ends[1 if b >= 0 else -1][row] for row, b in enumerate(bits)]
        left.barh(range(len(shown)), bits, left=starts, label=words(kind))
        for row, b in enumerate(bits):
            ends[1 if b >= 0 else -1][row] += b
    left.axvline(0, color=OTHERS, linewidth=0.8)
    left.set_xlabel("evidence in bits")
    if kinds:
        left.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    probabilities = [candidate["probability"] for candidate in shown] + [report["none_probability"]]
    colours = [OURS] * len(report["causes"]) + [OTHERS] * len(shown)
    bars = right.barh(rows, probabilities, color=[*colours[: len(shown)], PALE])
    right.bar_label(bars, fmt="{:.1%}", padding=3)
    right.set_xlim(0, 1.2)
    right.set_xlabel("probability")
    right.set_yticks(rows, [*map(name, shown), "none of them"])
    right.tick_params(axis="y", length=0)
    right.invert_yaxis()
    plt.show()
