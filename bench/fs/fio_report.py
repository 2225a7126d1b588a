#!/usr/bin/env python3
"""Turns fio's JSON output into a Markdown table of medians and ratios and an SVG chart.

Called by fio.sh, which leaves one file <round>.<system>.<job>.json for each run. Standard library
only.
"""
import argparse
import html
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "engine"))
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
COLORS = {"ext4": "#8c8c8c", "passthrough": "#d9822b", "lsmfs": "#1f6f8b"}


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
            rows.append({"title": title, "unit": unit, "wanted": wanted, "samples": samples,
                         "median": {s: statistics.median(v) for s, v in samples.items()}})
    return rows


def human(value, unit):
    if unit == "MB/s":
        return f"{value:.0f} MB/s"
    return f"{value / 1000:.1f} k/s" if value >= 1000 else f"{value:.0f} /s"


def ratio_of(row, system):
    base = row["median"].get("ext4")
    return row["median"][system] / base if base and system in row["median"] else None


def table(rows, systems):
    lines = ["| fio job | " + " | ".join(systems) + " | lsmfs : ext4 | wanted |",
             "|---|" + "---:|" * (len(systems) + 2)]
    for row in rows:
        cells = [row["title"]]
        for system in systems:
            cells.append(human(row["median"][system], row["unit"])
                         if system in row["median"] else "-")
        ratio = ratio_of(row, "lsmfs")
        mark = "" if ratio is None or ratio >= row["wanted"] else " (missed)"
        cells.append(f"**{ratio:.2f}**{mark}" if ratio else "-")
        cells.append(f"{row['wanted']:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def svg(rows, systems):
    bar, gap, left, width, top, limit = 13, 14, 300, 480, 60, 3.0
    step = bar * len(systems) + gap
    bottom = top + step * len(rows)
    total = left + width + 130
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{bottom + 40}" '
           f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" '
           'fill="#ffffff"/>',
           f'<text x="{left}" y="20" font-size="15" font-weight="bold">fio, relative to ext4</text>']
    for i, system in enumerate(systems):
        out.append(f'<rect x="{left + 110 * i}" y="32" width="11" height="11" '
                   f'fill="{COLORS[system]}"/><text x="{left + 110 * i + 16}" y="42">{system}</text>')
    for half in range(int(limit * 2) + 1):
        at = left + width * half / 2 / limit
        color = "#444444" if half == 2 else "#dddddd"
        out.append(f'<line x1="{at:.1f}" y1="{top - 6}" x2="{at:.1f}" y2="{bottom}" '
                   f'stroke="{color}"/><text x="{at:.1f}" y="{bottom + 16}" '
                   f'text-anchor="middle">{half / 2:g}</text>')
    for n, row in enumerate(rows):
        y = top + step * n
        out.append(f'<text x="{left - 8}" y="{y + bar * len(systems) / 2 + 4:.1f}" '
                   f'text-anchor="end">{html.escape(row["title"])}</text>')
        for i, system in enumerate(systems):
            ratio = ratio_of(row, system)
            if ratio is None:
                continue
            length = width * min(ratio, limit) / limit
            out.append(f'<rect x="{left}" y="{y + i * bar}" width="{length:.1f}" '
                       f'height="{bar - 1}" fill="{COLORS[system]}"/>'
                       f'<text x="{left + length + 4:.1f}" y="{y + i * bar + 10}" font-size="10">'
                       f'{ratio:.2f} ({human(row["median"][system], row["unit"])})</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def spread(rows):
    worst = (0.0, "")
    for row in rows:
        for system, values in row["samples"].items():
            off = max(abs(v / row["median"][system] - 1) for v in values)
            worst = max(worst, (off, f"{system}, {row['title']}"))
    return worst


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
    out += ["", f"![fio, relative to ext4]({os.path.basename(args.svg)})", ""]
    out += table(rows, args.systems)
    off, where = spread(rows)
    out += ["", f"The round farthest from its median: {off * 100:.0f} % ({where})."]
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
        file.write(svg(rows, args.systems))
    with open(args.markdown, "w", encoding="utf-8") as file:
        file.write(markdown(args, rows))
    print("\n".join(table(rows, args.systems)))


if __name__ == "__main__":
    main()
