#!/usr/bin/env python3
"""Latencies of one process that creates files, reads others and appends to one, in a mounted store of
lsmfs_loops' files. Called by snapshots.sh. Standard library only.

  latencies.py MOUNT SECONDS TITLE [PID]      until SECONDS are over, or the process PID has ended
"""
import os
import random
import sys
import time

PERCENTILES = ((50, "p50"), (99, "p99"), (99.9, "p99.9"))


def running(pid):
    """A process that has ended may still wait for its parent to ask."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def write(path, flags, data):
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    os.write(fd, data)
    os.close(fd)


def read(path):
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 4096)
    os.close(fd)


def main():
    mount, seconds, title = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    pid = sys.argv[4] if len(sys.argv) > 4 else None
    place = f"{mount}/latencies.{os.getpid()}"
    os.mkdir(place)
    took = {"create": [], "read": [], "append": []}
    end = time.monotonic() + seconds
    count = 0
    while running(pid) if pid else time.monotonic() < end:
        other = f"{mount}/d/p{random.randrange(2)}/f{random.randrange(500000)}"
        for name, call in (
                ("create", lambda: write(f"{place}/f{count}", os.O_CREAT | os.O_EXCL, b"x" * 1500)),
                ("read", lambda: read(other)),
                ("append", lambda: write(f"{place}/log", os.O_CREAT | os.O_APPEND, b"y" * 100))):
            start = time.perf_counter()
            call()
            took[name].append(time.perf_counter() - start)
        count += 1
    for name, times in took.items():
        times.sort()
        at = ", ".join(f"{p} {times[int(len(times) * n / 100)] * 1e6:.0f} us" for n, p in PERCENTILES)
        print(f"{title}, {name}: {len(times)} times, {at}, most {times[-1] * 1e3:.1f} ms")


main()
