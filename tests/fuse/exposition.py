#!/usr/bin/env python3
"""Reads Prometheus' text format (0.0.4) from standard input, strictly, as `promtool check metrics`
does: each metric has HELP, TYPE and samples in one block, names and labels are legal, nothing comes
twice, counters end in _total, histograms rise and end with +Inf, which is the count."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(r"^(%s)(?:\{(.*)\})? (\S+)$" % NAME)


def fail(what):
    sys.exit("line %d: %s" % (number, what))


def parse_labels(text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match or match.group(1) in labels:
            fail("labels " + text)
        labels[match.group(1)] = match.group(2)
        at = match.end()
        if at < len(text):
            if text[at] != ",":
                fail("labels " + text)
            at += 1
    return labels


def check_histogram(name, samples):
    series = {}
    for sample, labels, value in samples:
        rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
        one = series.setdefault(rest, {"buckets": []})
        if sample == name + "_bucket":
            one["buckets"].append((float(labels["le"]), value))
        elif sample in (name + "_sum", name + "_count"):
            one[sample[len(name) + 1:]] = value
        else:
            fail("%s in histogram %s" % (sample, name))
    for rest, one in series.items():
        bounds = [bound for bound, _ in one["buckets"]]
        counts = [count for _, count in one["buckets"]]
        if bounds != sorted(set(bounds)) or bounds[-1:] != [float("inf")]:
            fail("bounds of %s %s" % (name, rest))
        if counts != sorted(counts) or counts[-1] != one["count"] or one["sum"] < 0:
            fail("counts of %s %s" % (name, rest))


def end_of(metric):
    if not metric:
        return
    if not metric["samples"]:
        fail("no samples of " + metric["name"])
    if metric["type"] == "histogram":
        check_histogram(metric["name"], metric["samples"])
    elif (metric["type"] == "counter") != metric["name"].endswith("_total"):
        fail("%s %s" % (metric["type"], metric["name"]))


text = sys.stdin.buffer.read().decode("utf-8")
if not text.endswith("\n"):
    sys.exit("the last line has no end")
metric, seen, series, number = None, set(), set(), 0
for number, line in enumerate(text[:-1].split("\n"), 1):
    match = re.match(r"^# HELP (%s) (\S.*\.)$" % NAME, line)
    if match:
        end_of(metric)
        if match.group(1) in seen:
            fail("again: " + match.group(1))
        seen.add(match.group(1))
        metric = {"name": match.group(1), "type": None, "samples": []}
        continue
    match = re.match(r"^# TYPE (%s) (counter|gauge|histogram)$" % NAME, line)
    if match:
        if not metric or metric["name"] != match.group(1) or metric["type"]:
            fail("a type out of place")
        metric["type"] = match.group(2)
        continue
    match = SAMPLE.match(line)
    if not match or not metric or not metric["type"]:
        fail("neither help, type nor sample: " + line)
    name, labels, value = match.group(1), parse_labels(match.group(2) or ""), float(match.group(3))
    if metric["type"] != "histogram" and name != metric["name"]:
        fail("a sample of another metric: " + name)
    key = (name, tuple(sorted(labels.items())))
    if key in series:
        fail("again: " + line)
    series.add(key)
    metric["samples"].append((name, labels, value))
end_of(metric)
print(len(seen), "metrics")
