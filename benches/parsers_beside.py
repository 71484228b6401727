#!/usr/bin/env python3
"""Other parsers and Hypocenter on the same bytes of OTLP, on one core, in MB of input a second of processor time.

The others only parse: Google's protobuf (upb, through the official `opentelemetry-proto` package) into messages, orjson
and Python's `json` into dictionaries, and in the benchmark itself prost's derived messages and serde_json's values.
Hypocenter's figure is the whole way to checked rows of a table of spans or to series.

    pip install opentelemetry-proto orjson
    HYPOCENTER_BENCH_FILES=target cargo bench --bench ingest
    python3 benches/parsers_beside.py target

The best of several runs counts, here as in criterion's figures, which are read from `target/criterion` (the lower end of
their interval of time).
"""

import argparse
import json
import pathlib
import struct
import time

import orjson
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData  # noqa: F401  (registers the messages)
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData


def framed(data):
    """The messages of a file with four bytes of length before each."""
    messages, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        messages.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return messages


def best_seconds(work, pieces, runs):
    best = float("inf")
    for _ in range(runs):
        started = time.process_time()
        kept = [work(piece) for piece in pieces]
        best = min(best, time.process_time() - started)
        del kept
    return best


def criterion(folder, group, name, size):
    """MB/s of a benchmark, or nothing where it did not run."""
    estimates = folder / "criterion" / group / name / "new" / "estimates.json"
    if not estimates.exists():
        return None
    nanoseconds = json.loads(estimates.read_text())["mean"]["confidence_interval"]["lower_bound"]
    return size / nanoseconds * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="target folder of cargo, with the files of the benchmark")
    parser.add_argument("--files", type=pathlib.Path, help="folder of HYPOCENTER_BENCH_FILES, if it is another one")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    files = arguments.files or arguments.folder
    parsers = {
        "otlp-protobuf": (framed, {"protobuf (upb)": TracesData.FromString}, "prost's messages"),
        "otlp-json": (bytes.splitlines, {"orjson": orjson.loads, "json": json.loads}, "serde_json's values"),
        "otlp-metrics-json": (bytes.splitlines, {"orjson": orjson.loads, "json": json.loads}, "serde_json's values"),
    }
    for name, (split, others, in_rust) in parsers.items():
        data = (files / name).read_bytes()
        pieces = split(data)
        rates = {other: len(data) / best_seconds(work, pieces, arguments.runs) / 1e6 for other, work in others.items()}
        # Criterion writes quotes and blanks of names as they are, and slashes as underscores.
        rates[in_rust] = criterion(arguments.folder, "others", f"{name} by {in_rust}", len(data))
        rates["hypocenter"] = criterion(arguments.folder, "decode", name, len(data))
        shown = ", ".join(f"{other} {rate:.0f}" if rate else f"{other} not measured" for other, rate in rates.items())
        print(f"{name} ({len(data) / 1e6:.1f} MB), MB/s: {shown}")


if __name__ == "__main__":
    main()
