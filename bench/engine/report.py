#!/usr/bin/env python3
"""Turns the output of lsm_bench runs into a Markdown table of medians and ratios and an SVG chart.

Called by compare.sh, which leaves one file <round>.<engine>.<group>.log for each run. Engines must
have seen the same: found counts, entries and sums of every line are compared, and a difference
makes the exit status 1. Standard library only.
"""
import argparse
import html
import os
import platform
import re
import statistics
import subprocess
import sys

# What the table shows: group, title, workload, which of its lines in the group (from 0), the ratio
# that is aimed at, and against whom: "lsm" the better of LevelDB and RocksDB, "lmdb" LMDB.
ROWS = [
    ("fillseq", "fillseq", "fillseq", 0, 2.0, "lsm"),
    ("main", "fillrandom", "fillrandom", 0, 2.0, "lsm"),
    ("main", "overwrite", "overwrite", 0, 2.0, "lsm"),
    ("main", "readrandom, as left by the writes", "readrandom", 0, 2.0, "lsm"),
    ("main", "readrandom, compacted", "readrandom", 1, 2.0, "lsm"),
    ("main", "readmissing", "readmissing", 0, 2.0, "lsm"),
    ("main", "readhot (1 % of the keys)", "readhot", 0, 2.0, "lsm"),
    ("main", "readseq", "readseq", 0, 2.0, "lsm"),
    ("main", "readreverse", "readreverse", 0, 2.0, "lsm"),
    ("main", "seekrandom", "seekrandom", 0, 2.0, "lsm"),
    ("main", "scan100 (entries)", "scan100", 0, 2.0, "lsm"),
    ("mixed", "readwhilewriting, 2 readers, writer unthrottled", "readwhilewriting", 1, 2.0, "lsm"),
    ("mixed", "readwhilewriting, 2 readers, 20 k writes/s", "readwhilewriting", 0, 2.0, "lsm"),
    ("kept", "overwrite, below a snapshot, first", "overwrite", 0, 2.0, "lsm"),
    ("kept", "overwrite, below a snapshot, third", "overwrite", 2, 2.0, "lsm"),
    ("kept", "readrandom, below a snapshot, as left by the writes", "readrandom", 0, 2.0, "lsm"),
    ("kept", "readrandom, below a snapshot, compacted", "readrandom", 1, 2.0, "lsm"),
    ("delete", "deleterandom", "deleterandom", 0, 2.0, "lsm"),
    ("sync", "fillsync, 1 writer", "fillsync", 0, 1.0, "lsm"),
    ("sync", "fillsync, 4 writers", "fillsync", 1, 1.0, "lsm"),
    ("cached", "readrandom, cached", "readrandom", 1, 1.0, "lmdb"),
    ("cached", "readhot, cached", "readhot", 0, 1.0, "lmdb"),
    ("cached", "readseq, cached", "readseq", 1, 1.0, "lmdb"),
    ("cached", "readreverse, cached", "readreverse", 0, 1.0, "lmdb"),
    ("cached", "seekrandom, cached", "seekrandom", 0, 1.0, "lmdb"),
    ("cached", "scan100 (entries), cached", "scan100", 0, 1.0, "lmdb"),
    ("cached", "readrandom, cached, 2 threads", "readrandom", 3, 1.0, "lmdb"),
    ("plain", "readrandom, uncompressed", "readrandom", 1, 1.0, "lmdb"),
    ("plain", "readhot, uncompressed", "readhot", 0, 1.0, "lmdb"),
    ("plain", "readseq, uncompressed", "readseq", 1, 1.0, "lmdb"),
    ("plain", "readreverse, uncompressed", "readreverse", 0, 1.0, "lmdb"),
    ("plain", "seekrandom, uncompressed", "seekrandom", 0, 1.0, "lmdb"),
    ("plain", "scan100 (entries), uncompressed", "scan100", 0, 1.0, "lmdb"),
]

SECTIONS = {
    "fillseq": "Writes, reads and scans: the stores' ordinary settings, a cache as large as the write buffer",
    "main": None,
    "delete": None,
    "mixed": None,
    "kept": None,
    "sync": None,
    "cached": "Reads of a compacted store that the block cache holds (1 GiB)",
    "plain": "Reads of a compacted store without compression",
}

NAMES = {"before": "before", "tinylsm": "tinylsm", "leveldb": "LevelDB", "rocksdb": "RocksDB", "lmdb": "LMDB"}
COLORS = {"before": "#d9822b", "tinylsm": "#1f6f8b", "leveldb": "#d9822b", "rocksdb": "#b5a642", "lmdb": "#8c8c8c"}
PACKAGES = ["libleveldb1d", "librocksdb7.8", "liblmdb0", "libsnappy1v5", "liblz4-1", "libxxhash0"]

# As the project's issue gives it: LevelDB's newest source on a machine of the same kind.
NEWEST_LEVELDB = [
    ("fillseq", "598 k/s"), ("fillrandom", "307 k/s"), ("overwrite", "271 k/s"),
    ("readrandom, as left by the writes", "152 k/s"),
    ("readrandom, after full compaction", "368 k/s"),
    ("readseq, after full compaction", "9.2 M/s"), ("seekrandom", "313 k/s"),
]

LINE = re.compile(r"^(\w+)\s+:\s+([\d.]+) micros/op\s+(\d+) ops/sec;(.*)$")
TIMED = re.compile(r"^(compact|waitidle)\s+:\s+(\d+) micros")
LATENCY = re.compile(r"p50 ([\d.]+) p99 ([\d.]+) p99.9 ([\d.]+) max ([\d.]+) us")
CPU = re.compile(r"  cpu ([\d.]+) us")
SEEN = re.compile(r"found (\d+) of|(\d+) entries|sum ([0-9a-f]{16})")


def read_log(path):
    """The lines of one run: [(workload, ops/sec, what was seen, (p50, p99, p99.9, max),
    CPU us/op)], extras."""
    lines, extra = [], {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            match = LINE.match(text)
            if match:
                rest = match.group(4)
                seen = tuple(next(g for g in found if g) for found in SEEN.findall(rest))
                if match.group(1) == "readwhilewriting":
                    seen = seen[:1]
                latency = LATENCY.search(rest)
                lines.append((match.group(1), float(match.group(3)), seen,
                              tuple(float(x) for x in latency.groups()),
                              float(CPU.search(rest).group(1))))
            elif text.startswith("engine "):
                extra.setdefault("engine", text.split(":", 1)[1].strip())
            elif text.startswith("resources "):
                extra["resources"] = text.split(":", 1)[1].strip()
            else:
                match = TIMED.match(text)
                if match and match.group(1) == "compact":
                    extra["compact"] = float(match.group(2))
    return lines, extra


def check_equal(runs, engines, groups, rounds):
    """Names every line in which two engines saw different things."""
    problems = []
    for round_ in range(1, rounds + 1):
        for group in groups:
            logs = [(engine, runs[round_, engine, group][0]) for engine in engines]
            first_engine, first = logs[0]
            for engine, lines in logs[1:]:
                if [x[0] for x in lines] != [x[0] for x in first]:
                    problems.append(f"round {round_}, {group}: {engine} ran other workloads")
                    continue
                for a, b in zip(first, lines):
                    if a[2] != b[2]:
                        problems.append(f"round {round_}, {group}, {a[0]}: {first_engine} saw "
                                        f"{' '.join(a[2])}, {engine} {' '.join(b[2])}")
    return problems


def collect(runs, engines, groups, rounds):
    """One dict a row: title, aim, medians of rates and latencies by engine."""
    rows = []
    for group, title, workload, nth, aim, against in ROWS:
        if group not in groups:
            continue
        row = {"group": group, "title": title, "aim": aim, "against": against, "rate": {},
               "all": {}, "latency": {}, "cpu": {}}
        for engine in engines:
            samples = []
            for round_ in range(1, rounds + 1):
                lines = [x for x in runs[round_, engine, group][0] if x[0] == workload]
                if len(lines) > nth:
                    samples.append(lines[nth])
            if samples:
                row["all"][engine] = [x[1] for x in samples]
                row["rate"][engine] = statistics.median(x[1] for x in samples)
                row["cpu"][engine] = statistics.median(x[4] for x in samples)
                row["latency"][engine] = tuple(statistics.median(x[3][i] for x in samples)
                                               for i in range(4))
        rows.append(row)
    return rows


def peers_of(row):
    """Who tinylsm is measured against: if it was run, another build of its own."""
    if "before" in row["rate"]:
        return ("before",)
    return ("leveldb", "rocksdb") if row["against"] == "lsm" else ("lmdb",)


def reference(row):
    """(rate, name) of who tinylsm is measured against."""
    rates = [(row["rate"][p], NAMES[p]) for p in peers_of(row) if p in row["rate"]]
    return max(rates) if rates else (None, "")


def human(rate):
    if rate is None:
        return "-"
    if rate >= 999500:
        return f"{rate / 1e6:.3g} M/s"
    if rate >= 1000:
        return f"{rate / 1e3:.3g} k/s"
    return f"{rate:.3g} /s"


def command(*args):
    try:
        return subprocess.run(args, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def machine(db):
    cpu, memory = "", 0
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
    with open("/proc/meminfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("MemTotal"):
                memory = int(line.split()[1]) / 1048576
    disk = command("df", "--output=fstype,source", db).splitlines()[-1].split()
    return [
        f"{os.cpu_count()} CPUs ({cpu}), {memory:.0f} GiB of memory, Linux {platform.release()}",
        f"stores on {' on '.join(disk)}, the page cache holds them",
        f"compiled by {command('cc', '--version').splitlines()[0]}, Release",
    ]


def packages():
    out = []
    for name in PACKAGES:
        version = command("dpkg-query", "-W", "-f=${Version}", name)
        if version:
            out.append(f"{name} {version}")
    return ", ".join(out)


def table(rows, engines):
    head = ["workload"] + [NAMES[e] for e in engines]
    with_ratio = "tinylsm" in engines and len(engines) > 1
    if with_ratio:
        head += ["ratio", "to", "wanted"]
    lines = ["| " + " | ".join(head) + " |",
             "|" + "---|" + "---:|" * len(engines) + ("---:|---|---:|" if with_ratio else "")]
    for row in rows:
        cells = [row["title"]] + [human(row["rate"].get(e)) for e in engines]
        if with_ratio:
            rate, name = reference(row)
            ratio = row["rate"].get("tinylsm", 0) / rate if rate else None
            aim = None if name == NAMES["before"] else row["aim"]
            mark = "" if ratio is None or aim is None or ratio >= aim else " (missed)"
            cells += [f"**{ratio:.2f}**{mark}" if ratio else "-", name,
                      "-" if aim is None else f"{aim:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def latencies(rows, engines):
    lines = ["| workload | " + " | ".join(NAMES[e] for e in engines) + " |",
             "|---|" + "---:|" * len(engines)]
    for row in rows:
        cells = [row["title"]]
        for engine in engines:
            value = row["latency"].get(engine)
            cells.append(" / ".join(f"{x:.3g}" if x < 1000 else f"{x:.0f}" for x in value)
                         if value else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def cpu_times(rows, engines):
    """CPU time an operation, and how much less tinylsm takes than the best it is measured against."""
    lines = ["| workload | " + " | ".join(NAMES[e] for e in engines) + " | ratio |",
             "|---|" + "---:|" * (len(engines) + 1)]
    for row in rows:
        best = min((row["cpu"][p] for p in peers_of(row) if p in row["cpu"]), default=None)
        own = row["cpu"].get("tinylsm")
        ratio = f"{best / own:.2f}" if best and own else "-"
        cells = [f"{row['cpu'][e]:.3g}" if e in row["cpu"] else "-" for e in engines]
        lines.append("| " + " | ".join([row["title"]] + cells + [ratio]) + " |")
    return lines


def first_targets(rows):
    """What the engine was first planned with, and what is reached."""
    by = {(r["group"], r["title"]): r for r in rows if "tinylsm" in r["rate"]}

    def rate(group, title):
        return human(by[group, title]["rate"]["tinylsm"]) if (group, title) in by else "-"

    def times(group, title):
        row = by.get((group, title))
        return ("p50 {:.3g}, p99 {:.3g} us".format(*row["latency"]["tinylsm"][:2]) if row else "-")

    return ["| first target | reached |", "|---|---|",
            f"| 100 k sequential writes/s | {rate('fillseq', 'fillseq')} |",
            f"| 50 k random writes/s | {rate('main', 'fillrandom')} |",
            f"| cached gets under 10 us | {times('cached', 'readrandom, cached')} |",
            "| gets that read the file under 100 us (the page cache has it; the block cache a part) | "
            f"{times('main', 'readrandom, compacted')} |",
            f"| scans over 5 M entries/s | {rate('main', 'readseq')}, cached "
            f"{rate('cached', 'readseq, cached')} |"]


def spread(rows):
    """The widest distance of a round from the median, over all rates."""
    worst = (0.0, "")
    for row in rows:
        for engine, rates in row["all"].items():
            off = max(abs(x / row["rate"][engine] - 1) for x in rates)
            worst = max(worst, (off, f"{NAMES[engine]}, {row['title']}"))
    return worst


def markdown(args, runs, rows, engines, problems):
    out = [f"# Engine comparison: {args.num:,} keys", ""]
    out += ["Medians of " + f"{args.rounds} round(s), engines in turn in each; 16-byte keys, 100-byte "
            f"values (half compressible), {args.memory[:-1]} {args.memory[-1]}iB write buffer, 10 bloom bits, 4 KiB blocks, no "
            "sync unless said. Rates are operations (scans: entries) a second.", ""]
    if args.remark:
        out += [args.remark, ""]
    for line in machine(args.db):
        out.append(f"- {line}")
    out.append(f"- packages: {packages()}")
    out.append(f"- tinylsm at commit {command('git', '-C', os.path.dirname(__file__), 'rev-parse', '--short', 'HEAD')}")
    for engine in engines:
        for key, (_, extra) in runs.items():
            if key[1] == engine and "engine" in extra:
                out.append(f"- {extra['engine']}")
                break
    if "before" not in engines:
        out += ["", "![Rates relative to the better of LevelDB and RocksDB]"
                f"({os.path.basename(args.svg)})"]
    shown = []
    for group in SECTIONS:
        if not any(r["group"] == group for r in rows):
            continue
        if SECTIONS[group] or not shown:
            shown.append((SECTIONS[group] or "Writes and reads", []))
        shown[-1][1].extend(r for r in rows if r["group"] == group)
    for title, part in shown:
        part.sort(key=rows.index)
        out += ["", f"## {title}", ""] + table(part, engines)
    if "tinylsm" in engines and any(r["group"] == "main" for r in rows):
        out += ["", "## The first targets", ""] + first_targets(rows)
    out += ["", "## Latencies", "", "p50 / p99 / p99.9 / max in microseconds. The maximum bounds all "
            "operations; the rest is of one operation in 17.", ""] + latencies(rows, engines)
    out += ["", "## CPU time", "", "Microseconds of the workload's own threads an operation (an entry "
            "in scans), without background work. It depends less than rates on what else the "
            "machine is doing.", ""] + cpu_times(rows, engines)
    out += ["", "## Disk and memory after the main group", ""]
    for engine in engines:
        run = runs.get((args.rounds, engine, "main"))
        if run and "resources" in run[1]:
            compact = f", compaction {run[1]['compact'] / 1e6:.2f} s" if "compact" in run[1] else ""
            out.append(f"- {NAMES[engine]}: {run[1]['resources']}{compact}")
    out += ["", "## Notes", ""]
    out += NOTES
    off, where = spread(rows)
    out.append(f"- The round farthest from its median: {off * 100:.0f} % ({where}).")
    out.append("- Equal results: " + ("what the engines found and the sums of what they returned "
                                      "are the same." if not problems else "**engines disagree**:"))
    out += [f"  - {p}" for p in problems]
    out += ["", "Newer LevelDB than the distribution's exists. Its newest source, with Snappy, on a "
            "2-CPU machine of the same kind:", "", "| workload | LevelDB, newest |", "|---|---:|"]
    out += [f"| {name} | {rate} |" for name, rate in NEWEST_LEVELDB]
    return "\n".join(out) + "\n"


NOTES = [
    "- Peers are the distribution's packages, used through their C interfaces with default "
    "settings but for the sizes above. RocksDB gets LZ4 as tinylsm does; LevelDB has Snappy only. "
    "LevelDB's C interface copies each value to the heap (about 50 ns a get).",
    "- No sync means for all: what a write has acknowledged survives the death of the process. "
    "LMDB runs with MDB_NOSYNC, one transaction a write, and may lose the store with the power; "
    "the logs of the others lose their unsynced end.",
    "- LMDB reads in place without a copy, in a read transaction renewed every 1,000 operations; "
    "the other engines see the latest state at each get. Iterators are renewed every 1,000 seeks "
    "in all engines.",
    "- LMDB has neither compaction nor cache: its figures in the sections differ by noise only.",
]


# ------------------------------------------------------------------------------------------- chart

def svg(rows, engines):
    """Bars relative to the better of LevelDB and RocksDB, a group of bars for each workload."""
    bar, gap, left, width, top, limit = 11, 12, 290, 560, 64, 6.0
    rows = [r for r in rows if any(p in r["rate"] for p in ("leveldb", "rocksdb"))]
    step = bar * len(engines) + gap
    height = top + step * len(rows) + 40
    total = left + width + 110
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" '
           f'viewBox="0 0 {total} {height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{total}" height="{height}" fill="#ffffff"/>',
           f'<text x="{left}" y="20" font-size="15" font-weight="bold">Rates relative to the better '
           'of LevelDB and RocksDB</text>']
    x = left
    for engine in engines:
        out.append(f'<rect x="{x}" y="32" width="11" height="11" fill="{COLORS[engine]}"/>'
                   f'<text x="{x + 16}" y="42">{NAMES[engine]}</text>')
        x += 90
    bottom = top + step * len(rows)
    for i in range(int(limit) + 1):
        at = left + width * i / limit
        color, wide = ("#444444", 1.2) if i == 1 else ("#dddddd", 1)
        out.append(f'<line x1="{at:.1f}" y1="{top - 6}" x2="{at:.1f}" y2="{bottom}" '
                   f'stroke="{color}" stroke-width="{wide}"/>'
                   f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{i}</text>')
    for n, row in enumerate(rows):
        y = top + step * n
        base = max(row["rate"][p] for p in ("leveldb", "rocksdb") if p in row["rate"])
        out.append(f'<text x="{left - 8}" y="{y + bar * len(engines) / 2 + 4:.1f}" '
                   f'text-anchor="end">{html.escape(row["title"])}</text>')
        for i, engine in enumerate(engines):
            rate = row["rate"].get(engine)
            if rate is None:
                continue
            ratio = rate / base
            length = width * min(ratio, limit) / limit
            cut = " ⟩" if ratio > limit else ""
            out.append(f'<rect x="{left}" y="{y + i * bar}" width="{length:.1f}" '
                       f'height="{bar - 1}" fill="{COLORS[engine]}"/>'
                       f'<text x="{left + length + 4:.1f}" y="{y + i * bar + 9}" font-size="9" '
                       f'paint-order="stroke" stroke="#ffffff" stroke-width="3">'
                       f'{ratio:.2f}{cut} ({human(rate)})</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser()
    for name in ("logs", "engines", "groups", "db", "memory", "markdown", "svg"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--num", type=int, required=True)
    parser.add_argument("--remark", default="", help="a paragraph at the head of the report")
    args = parser.parse_args()
    engines, groups = args.engines.split(","), args.groups.split(",")
    runs = {}
    for round_ in range(1, args.rounds + 1):
        for engine in engines:
            for group in groups:
                runs[round_, engine, group] = read_log(f"{args.logs}/{round_}.{engine}.{group}.log")
    problems = check_equal(runs, engines, groups, args.rounds)
    rows = collect(runs, engines, groups, args.rounds)
    if "before" not in engines:
        with open(args.svg, "w", encoding="utf-8") as file:
            file.write(svg(rows, engines))
    with open(args.markdown, "w", encoding="utf-8") as file:
        file.write(markdown(args, runs, rows, engines, problems))
    for line in table(rows, engines):
        print(line)
    for problem in problems:
        print("DIFFERENT: " + problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
