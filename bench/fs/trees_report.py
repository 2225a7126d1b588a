#!/usr/bin/env python3
"""Turns the times that trees.sh took into Markdown tables of medians and ratios and an SVG chart.

Each file <round>.<system>.<kind>.<job> holds one number: seconds, or for kind "loops" operations a
second. Standard library only.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine"))
from ratios import base_of, row_of, spread, svg, table  # noqa: E402
from report import command, machine  # noqa: E402

# job, title, ratio to ext4 that is wanted
TREE_JOBS = [
    ("untar", "untar, sync", 1.0),
    ("copy", "cp -a, sync", 0.7),
    ("find-cold", "find, cold", 1.5),
    ("find-warm", "find, warm", 0.8),
    ("find-time", "find by time, warm", 0.8),
    ("ls-cold", "ls -lR, cold", 1.5),
    ("ls-warm", "ls -lR, warm", 0.8),
    ("du-cold", "du -s, cold", 1.5),
    ("du-warm", "du -s, warm", 0.8),
    ("grep-cold", "grep -r, cold", 2.0),
    ("grep-warm", "grep -r, warm", 0.8),
    ("tar", "tar out, cold", 2.0),
    ("rsync", "rsync -a, nothing to do", 0.8),
    ("git-add", "git init, add, sync", 0.9),
    ("git-commit", "git commit, sync", 0.9),
    ("git-status-warm", "git status, warm", 0.8),
    ("git-status-cold", "git status, cold", 1.5),
    ("chmod", "chmod -R", 0.3),
    ("touch", "touch all", 0.3),
    ("rm-warm", "rm -rf, warm, sync", 2.0),
    ("rm-cold", "rm -rf, cold, sync", 2.0),
]
LOOP_JOBS = [
    ("create", "create, write, close", None),
    ("stat", "stat", 0.8),
    ("read", "open, read, close", 0.8),
    ("append", "open, append, close", 0.3),
    ("unlink", "unlink", None),
]


def collect(args, kind, jobs, unit):
    rows = []
    for job, title, wanted in jobs:
        samples = {}
        for system in args.systems:
            paths = [f"{args.logs}/{r}.{system}.{kind}.{job}" for r in range(1, args.rounds + 1)]
            if all(os.path.exists(p) for p in paths):
                samples[system] = [number_in(p) for p in paths]
        if samples:
            rows.append(row_of(title, unit, wanted, samples))
    return rows


def number_in(path):
    with open(path, encoding="utf-8") as file:
        return float(file.read())


def sections(args):
    """(heading, rows) of each table."""
    loops = [(f"{job}-{n}", f"{title}, {n} process{'es' if n > 1 else ''}", wanted)
             for n in (1, 4) for job, title, wanted in LOOP_JOBS]
    loops.append(("rename-1", "a directory renamed, there and back", None))
    out = [(f"tree of {args.files} files", collect(args, "generated", TREE_JOBS, "s"))]
    if args.tree:
        out.append((args.tree, collect(args, "real", TREE_JOBS, "s")))
    out.append((f"loop over {args.loop} files", collect(args, "loops", loops, "/s")))
    return out


def markdown(args, tables):
    commit = command("git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short",
                     "HEAD")
    server = os.environ.get("PASSTHROUGH") or command("bindfs", "--version")
    out = ["# Trees of small files", "",
           f"Medians of {args.rounds} round(s), systems in turn in each. `bench/fs/trees.sh "
           f"{args.dir}` makes this table. Ratios are of rates: more is better.", ""]
    out += [f"- {line}" for line in machine(args.dir)[:1]]
    out.append("- all systems on " + " on ".join(
        command("df", "--output=fstype,source", args.dir).splitlines()[-1].split()))
    out.append(f"- passthrough: {server}; floor: a FUSE server that does nothing")
    out.append(f"- lsmfs at commit {commit}, options: {args.options or 'defaults'}")
    out += ["", f"![trees, relative to {base_of(args.systems)}]({os.path.basename(args.svg)})"]
    for heading, rows in tables:
        out += ["", *table(rows, args.systems, heading, others(args))]
    out += ["", spread([row for _, rows in tables for row in rows])]
    return "\n".join(out) + "\n"


def others(args):
    return [system for system in ("before", "passthrough", "floor") if system in args.systems]


def main():
    parser = argparse.ArgumentParser()
    for name in ("logs", "systems", "dir", "tree", "options", "markdown", "svg"):
        parser.add_argument("--" + name, required=True)
    for name in ("rounds", "files", "loop"):
        parser.add_argument("--" + name, type=int, required=True)
    args = parser.parse_args()
    args.systems = args.systems.split(",")
    tables = sections(args)
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(svg([row for _, rows in tables for row in rows], args.systems,
                       "trees of small files"))
    with open(args.markdown, "w", encoding="utf-8") as file:
        file.write(markdown(args, tables))
    for heading, rows in tables:
        print("\n".join(table(rows, args.systems, heading, others(args))) + "\n")


if __name__ == "__main__":
    main()
