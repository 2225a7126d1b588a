#!/usr/bin/env python3
"""Turns scale.sh's runs of lsm_bench, one log a store size, into a Markdown table.

Standard library only.
"""
import argparse
import re
from statistics import median

from report import LINE, LATENCY, human, machine

RESOURCES = re.compile(r"([\d.]+) MiB on disk.*, ([\d.]+) MiB read, peak memory ([\d.]+) MiB")
AMPLIFICATION = re.compile(r"write amplification ([\d.]+)")
LEVEL = re.compile(r"^\s+\d+\s+\d+\s+(\d+)\s+(\d+)\s+\d+$")


def read_log(path):
    """[(workload, ops/sec, max us, found, pause ms)], one dict for each `stats`."""
    lines, stats = [], []
    table_bytes = 0
    with open(path, encoding="utf-8") as file:
        for text in file:
            match = LINE.match(text)
            if match:
                found = re.search(r"found (\d+) of (\d+)", text)
                paused = re.search(r"paused ([\d.]+) ms", text)
                lines.append((match.group(1), float(match.group(3)),
                              float(LATENCY.search(text).group(4)),
                              int(found.group(1)) / int(found.group(2)) if found else None,
                              float(paused.group(1)) if paused else None))
            elif LEVEL.match(text):
                table_bytes += int(LEVEL.match(text).group(1))
            elif AMPLIFICATION.search(text):
                amplification = float(AMPLIFICATION.search(text).group(1))
            elif text.startswith("resources "):
                disk, read, peak = (float(x) for x in RESOURCES.search(text).groups())
                stats.append({"disk": disk, "read": read, "peak": peak, "tables": table_bytes,
                              "amplification": amplification})
                table_bytes = 0
    return lines, stats


def gets_of(path):
    """The rate of the second readrandom."""
    lines, _ = read_log(path)
    return [x for x in lines if x[0] == "readrandom"][1][1]


def column(logs, num, rounds, reads):
    """The cells of one store size, and what is compared over sizes."""
    load, (loaded,) = read_log(f"{logs}/{num}.log")
    load = load[:10]
    total = 10 / sum(1 / x[1] for x in load)
    runs = [read_log(f"{logs}/{num}.read.{r}.log") for r in range(1, rounds + 1)]
    before, after = runs[0][1]
    found = [x for x in runs[0][0] if x[0] == "readrandom"][1][3]

    def rate(name):
        return median([[x for x in lines if x[0] == name][-1][1] for lines, _ in runs])

    mapped = median([gets_of(f"{logs}/{num}.mapped.{r}.log") for r in range(1, rounds + 1)])
    return {
        "load, puts/s": human(total),
        "first tenth": human(load[0][1]),
        "last tenth": human(load[9][1]),
        "last to first": f"{load[9][1] / load[0][1]:.2f}",
        "slowest put, ms": f"{max(x[2] for x in load) / 1000:.1f}",
        "longest pause of the machine, ms": "not known" if load[0][4] is None else
                                            f"{max(x[4] for x in load):.1f}",
        "write amplification": f"{loaded['amplification']:.2f}",
        "tables at rest, MiB": f"{before['tables'] / 1048576:.0f}",
        "readrandom": human(rate("readrandom")),
        "readrandom, mapped": human(mapped),
        "bytes read a get": f"{(after['read'] - before['read']) * 1048576 / reads:.0f}",
        "readmissing": human(rate("readmissing")),
        "seekrandom": human(rate("seekrandom")),
        "peak resident loading, MiB": f"{loaded['peak']:.0f}",
        "peak resident reading, MiB": f"{max(s[-1]['peak'] for _, s in runs):.0f}",
        "found": f"{found:.3f}",
        "table bytes a live entry (116 raw)": f"{before['tables'] / (num * found):.0f}",
    }, rate("readrandom"), mapped


def main():
    parser = argparse.ArgumentParser()
    for name in ("logs", "nums", "db", "reads", "rounds"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    nums = [int(x) for x in args.nums.split(",")]
    columns, rates, mapped = zip(*(column(args.logs, num, int(args.rounds), int(args.reads))
                                   for num in nums))
    print("# tinylsm by size of the store\n")
    print("N puts of random keys out of N (so 63 % of the keys exist), 16-byte keys, 100-byte values "
          "(half compressible), default options: 64 MiB write buffer, 64 MiB block cache, LZ4, one "
          "thread, no sync. Reading: medians of rounds in turn over the sizes; \"mapped\" with a "
          "map_budget that holds all tables, else 128 MiB. A pause of the machine is how late a "
          "real-time thread was woken that waits for nothing else. Made by `bench/engine/scale.sh`.\n")
    for line in machine(args.db):
        print("- " + line)
    print("\n| | " + " | ".join(f"{n / 1e6:g} M" for n in nums) + " |")
    print("|---|" + "---:|" * len(nums))
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(c[row] for c in columns) + " |")
    for name, of in (("get, cost against", rates), ("the same, mapped, against", mapped)):
        print(f"| {name} {nums[0] / 1e6:g} M | " + " | ".join(f"{of[0] / x:.2f}" for x in of) + " |")


if __name__ == "__main__":
    main()
