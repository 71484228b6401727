#!/usr/bin/env python3
"""DuckDB and Hypocenter on the same Parquet file of spans, as whole processes, in one run.

DuckDB joins the spans with themselves on trace and parent and groups by caller, callee, operation and minute: count,
errors, sum of durations and three approximate quantiles. `hypocenter graph` makes the same table by entry as well, with
self-times, gaps, the critical path and three distributions, and prints the graph.

    pip install duckdb
    HYPOCENTER_BENCH_LARGE=target cargo bench --bench aggregate -- --test    # writes target/spans-5m.parquet
    cargo build --release
    python3 benches/duckdb_beside.py target/spans-5m.parquet target/release/hypocenter

Runs alternate, so that a busy machine treats both alike; the best of each is compared.
"""

import argparse
import os
import subprocess
import sys
import time

QUERY = """
SELECT parent.service_name AS caller, child.service_name AS callee, child.operation_name AS operation,
       child.start_time_unix_nano // 60000000000 AS minute, count(*) AS calls,
       count(*) FILTER (child.status_code = 'ERROR') AS errors, sum(child.duration_nano) AS duration,
       approx_quantile(child.duration_nano, [0.5, 0.9, 0.99]) AS quantiles
FROM '{file}' AS child
LEFT JOIN '{file}' AS parent
       ON child.trace_id = parent.trace_id AND child.parent_span_id = parent.span_id
GROUP BY ALL
"""
IN_DUCKDB = """
import duckdb, sys
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
print(len(connection.execute(sys.argv[1]).fetchall()), "rows")
"""


def measure(command):
    """Wall seconds, processor seconds and peak resident MiB of a process, and the first line it printed."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    first = output.decode(errors="replace").partition("\n")[0]
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, first


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="Parquet file of spans, as benches/aggregate.rs writes it")
    parser.add_argument("binary", help="the hypocenter binary, built with --release")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    commands = {
        "duckdb": [sys.executable, "-c", IN_DUCKDB, QUERY.format(file=arguments.file.replace("'", "''"))],
        "hypocenter": [arguments.binary, "graph", "--traces", arguments.file, "-o", "json"],
    }
    best = {}
    for run in range(arguments.runs):
        for name, command in commands.items():
            wall, processor, memory, first = measure(command)
            print(f"{name:10} run {run + 1}: {wall:6.2f} s wall, {processor:6.2f} s processor, {memory:6.0f} MiB  {first[:40]}")
            if name not in best or wall < best[name][0]:
                best[name] = (wall, processor, memory)
    ratios = [ours / theirs for ours, theirs in zip(best["hypocenter"], best["duckdb"])]
    print("hypocenter / duckdb: {:.2f} of the wall time, {:.2f} of the processor time, {:.2f} of the memory".format(*ratios))


if __name__ == "__main__":
    main()
