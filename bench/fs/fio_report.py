#!/usr/bin/env python3
"""Turns fio's JSON output into a Markdown table of medians and ratios and an SVG chart.

Called by fio.sh, which leaves one file <round>.<system>.<job>.json for each run. Standard library
only.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine"))
from ratios import base_of, row_of, spread, svg, table  # noqa: E402
from report import command, machine  # noqa: E402

# job, title, unit, ratio to ext4 that is wanted
JOBS = [
    ("write-1m", "sequential write, 1 MiB, fsync at end", "MB/s", 0.9),
    ("write-1m-half", "the same, data half compressible", "MB/s", 1.3),
    ("read-1m", "sequential read, 1 MiB, cold", "MB/s", 0.8),
    ("write-4k", "sequential write, 4 KiB, fsync at end", "MB/s", 0.8),
    ("randread-4k", "random read, 4 KiB, cold, 1 job", "IOPS", 0.7),
    ("randread-4k-8", "random read, 4 KiB, cold, 8 jobs", "IOPS", 0.8),
    ("randwrite-4k", "random write, 4 KiB, fsync at end of a quarter", "MB/s", 1.5),
    ("randwrite-4k-sync", "random write, 4 KiB, fsync each, 1 job", "IOPS", 0.6),
    ("randwrite-4k-sync-8", "random write, 4 KiB, fsync each, 8 jobs", "IOPS", 1.0),
    ("mixed-16k-4", "mixed 70/30, 16 KiB, 4 jobs", "IOPS", 0.8),
]


def value_of(path, unit):
    """MB/s or operations a second of one run, reads and writes together."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    jobs = json.loads(text[text.index("{"):])["jobs"]
    if any(job["error"] for job in jobs):
        raise SystemExit(f"fio_report.py: {path}: fio reports an error")
    key = "iops" if unit == "IOPS" else "bw_bytes"
    total = sum(job[side][key] for job in jobs for side in ("read", "write"))
    return total if unit == "IOPS" else total / 1e6


def collect(args):
    rows = []
    for job, title, unit, wanted in JOBS:
        samples = {}
        for system in args.systems:
            paths = [f"{args.logs}/{r}.{system}.{job}.json" for r in range(1, args.rounds + 1)]
            if all(os.path.exists(p) for p in paths):
                samples[system] = [value_of(p, unit) for p in paths]
        if samples:
            rows.append(row_of(title, unit, wanted, samples))
    return rows


def fio_table(args, rows):
    return table(rows, args.systems, "fio job", ["before"] if "before" in args.systems else [])


def markdown(args, rows):
    commit = command("git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short",
                     "HEAD")
    server = os.environ.get("PASSTHROUGH") or command("bindfs", "--version")
    out = [f"# fio: a file of {args.size} MiB", "",
           f"Medians of {args.rounds} round(s), systems in turn in each. `bench/fs/fio.sh "
           f"{args.dir}` makes this table.", ""]
    out += [f"- {line}" for line in machine(args.dir)[:1]]
    out.append("- all systems on " + " on ".join(
        command("df", "--output=fstype,source", args.dir).splitlines()[-1].split()))
    out.append(f"- {command('fio', '--version')}; passthrough: {server}")
    out.append(f"- lsmfs at commit {commit}, options: {args.options or 'defaults'}")
    out += ["", f"![fio, relative to {base_of(args.systems)}]({os.path.basename(args.svg)})", ""]
    out += fio_table(args, rows)
    out += ["", spread(rows)]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    for name in ("logs", "systems", "dir", "options", "markdown", "svg"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    args = parser.parse_args()
    args.systems = args.systems.split(",")
    rows = collect(args)
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(svg(rows, args.systems, "fio"))
    with open(args.markdown, "w", encoding="utf-8") as file:
        file.write(markdown(args, rows))
    print("\n".join(fio_table(args, rows)))


if __name__ == "__main__":
    main()
