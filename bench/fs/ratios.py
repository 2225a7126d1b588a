"""Rates of several systems as a Markdown table and an SVG chart: what fio_report.py and
trees_report.py share. Standard library only.

A row is a dictionary: title, unit ("s": less is better; all others are rates), wanted (the ratio of
lsmfs to ext4 that is aimed at, or None), samples (system: values of the rounds), median (system).
"""
import html
import statistics

COLORS = {"ext4": "#8c8c8c", "passthrough": "#d9822b", "lsmfs": "#1f6f8b", "floor": "#b9b0d8",
          "before": "#9fc5b3"}


def row_of(title, unit, wanted, samples):
    return {"title": title, "unit": unit, "wanted": wanted, "samples": samples,
            "median": {s: statistics.median(v) for s, v in samples.items()}}


def human(value, unit):
    if unit == "MB/s":
        return f"{value:.0f} MB/s"
    if unit == "s":
        return f"{value:.3f} s" if value < 1 else f"{value:.2f} s"
    return f"{value / 1000:.1f} k/s" if value >= 1000 else f"{value:.0f} /s"


def ratio_of(row, system, base="ext4"):
    """The rate of `system` relative to that of `base`; None if one was not measured."""
    median = row["median"]
    if system not in median or not median.get(base):
        return None
    return (median[base] / median[system] if row["unit"] == "s"
            else median[system] / median[base])


def table(rows, systems, heading, more=()):
    """`more`: systems other than ext4 that lsmfs is also compared with."""
    names = [f"lsmfs : {base}" for base in more]
    lines = [f"| {heading} | " + " | ".join([*systems, "lsmfs : ext4", "wanted", *names]) + " |",
             "|---|" + "---:|" * (len(systems) + 2 + len(names))]
    for row in rows:
        cells = [row["title"]]
        for system in systems:
            cells.append(human(row["median"][system], row["unit"])
                         if system in row["median"] else "-")
        ratio = ratio_of(row, "lsmfs")
        missed = ratio is not None and row["wanted"] is not None and ratio < row["wanted"]
        cells.append(f"**{ratio:.2f}**{' (missed)' if missed else ''}" if ratio else "-")
        cells.append("" if row["wanted"] is None else f"{row['wanted']:.1f}")
        for base in more:
            other = ratio_of(row, "lsmfs", base)
            cells.append(f"{other:.2f}" if other else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def base_of(systems):
    """What the bars of a chart are relative to."""
    return "ext4" if "ext4" in systems else systems[0]


def svg(rows, systems, heading):
    bar, gap, left, width, top, limit = 13, 14, 300, 480, 60, 3.0
    step = bar * len(systems) + gap
    bottom = top + step * len(rows)
    total = left + width + 130
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{bottom + 40}" '
           f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" '
           'fill="#ffffff"/>',
           f'<text x="{left}" y="20" font-size="15" font-weight="bold">'
           f'{html.escape(heading)}, relative to {base_of(systems)}</text>']
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
            ratio = ratio_of(row, system, base_of(systems))
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
    """The sentence that says how far the rounds lie from each other."""
    worst = (0.0, "")
    for row in rows:
        for system, values in row["samples"].items():
            off = max(abs(v / row["median"][system] - 1) for v in values)
            worst = max(worst, (off, f"{system}, {row['title']}"))
    return f"The round farthest from its median: {worst[0] * 100:.0f} % ({worst[1]})."
