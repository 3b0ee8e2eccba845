"""results.csv -> RESULTS.md and results.svg. A ratio is the filesystem's time to ext4's in the same round; less is better, for rates too."""
import csv, statistics

from workloads import ROWS

COLOURS = ["#1b6ca8", "#e07a1f", "#3d9970", "#b03a5b", "#7d6b9e", "#8a8a8a", "#c9a227", "#444444"]


def read(path):
    """{workload: {label: {round: figure}}}, in the order in which they came."""
    table = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            if row["value"]:
                table.setdefault(row["workload"], {}).setdefault(row["label"], {})[int(row["round"])] = float(row["value"])
    return table


def ratio(workload, figure, ext4):
    return ext4 / figure if ROWS[workload][0] != "s" else figure / ext4


def median_ratio(workload, figures, base):
    ratios = [ratio(workload, figures[r], base[r]) for r in figures if base.get(r) and figures[r]]
    return statistics.median(ratios) if ratios else None


def show(figure):
    return f"{figure:.3f}" if figure < 10 else f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}"


def cell(workload, figures, base, with_ratio):
    values = sorted(figures.values())
    text = show(statistics.median(values))
    if len(values) > 1:
        text += f" [{show(values[0])}–{show(values[-1])}]"
    times = median_ratio(workload, figures, base) if with_ratio else None
    return f"**×{times:.2f}** {text}" if times else text


def best_peer(workload, by_label):
    base = by_label.get("ext4", {})
    peers = {label: median_ratio(workload, figures, base) for label, figures in by_label.items() if label != "ext4" and not label.startswith("holdfast")}
    peers = {label: times for label, times in peers.items() if times}
    return min(peers.items(), key=lambda p: p[1]) if peers else None


def markdown(table, labels, about):
    lines = ["# Speed", "", about, "",
             "Each cell: **times ext4** (median of the rounds' ratios, less is better), then the median [least–most]. Goal and best peer are times ext4 too.", "",
             "| workload | unit | goal | best peer | " + " | ".join(labels) + " |", "|---|---|---|---|" + "---|" * len(labels)]
    for workload in [w for w in ROWS if w in table]:
        by_label = table[workload]
        peer = best_peer(workload, by_label)
        cells = [cell(workload, by_label[label], by_label.get("ext4", {}), label != "ext4") if label in by_label else "–" for label in labels]
        lines.append(f"| {workload}: {ROWS[workload][2]} | {ROWS[workload][0]} | ≤ ×{ROWS[workload][1]} | {f'{peer[0]} ×{peer[1]:.2f}' if peer else '–'} | "
                     + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n" + peers_markdown(table, labels)


def peers_markdown(table, labels):
    """Holdfast's time beside its goal and beside each peer's, in the same rounds."""
    peers = [label for label in labels if label != "ext4" and not label.startswith("holdfast")]
    if "holdfast" not in labels:
        return ""
    lines = ["", "Holdfast's time divided by each filesystem's in the same rounds (median; below 1: Holdfast is faster).", "",
             "| " + " | ".join(["workload", "÷ ext4", "goal", "reached", *(f"÷ {label}" for label in peers)]) + " |", "|" + "---|" * (4 + len(peers))]
    for workload in [w for w in ROWS if "holdfast" in table.get(w, {})]:
        ours, by_label = table[workload]["holdfast"], table[workload]
        times = {label: median_ratio(workload, ours, by_label.get(label, {})) for label in ["ext4", *peers]}
        shown = [f"{times[label]:.2f}" if times[label] else "–" for label in ["ext4", *peers]]
        reached = "–" if not times["ext4"] else "yes" if round(times["ext4"], 2) <= ROWS[workload][1] else "no"
        lines.append("| " + " | ".join([workload, shown[0], str(ROWS[workload][1]), reached, *shown[1:]]) + " |")
    return "\n".join(lines) + "\n"


def svg(table, labels):
    """Bars of times ext4, logarithmic, one group a workload; the goal is a tick."""
    import math
    labels = [label for label in labels if label != "ext4"]
    rows = [w for w in ROWS if w in table and "ext4" in table[w]]
    bar, gap, left, width = 11, 12, 130, 640
    low, high = 0.25, 64.0
    x = lambda times: left + width * (math.log(min(max(times, low), high) / low) / math.log(high / low))
    height = 60 + len(rows) * (bar * len(labels) + gap)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>']
    for i, label in enumerate(labels):
        out.append(f'<rect x="{left + i * 105}" y="8" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/><text x="{left + i * 105 + 14}" y="17">{label}</text>')
    for times in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64):
        out.append(f'<line x1="{x(times):.1f}" x2="{x(times):.1f}" y1="38" y2="{height - 8}" stroke="{"#555" if times == 1 else "#ddd"}"/>'
                   f'<text x="{x(times):.1f}" y="34" text-anchor="middle" fill="#555">×{times:g}</text>')
    y = 44
    for workload in rows:
        out.append(f'<text x="{left - 6}" y="{y + bar * len(labels) / 2 + 4:.1f}" text-anchor="end">{workload}</text>')
        top = y
        for i, label in enumerate(labels):
            times = median_ratio(workload, table[workload].get(label, {}), table[workload]["ext4"])
            if times:
                a, b = sorted((x(1), x(times)))
                out.append(f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" height="{bar - 2}" fill="{COLOURS[i % len(COLOURS)]}"/>'
                           f'<text x="{x(max(times, 1)) + 3:.1f}" y="{y + bar - 3}" font-size="9" fill="#333">{times:.2f}</text>')
            y += bar
        goal = x(ROWS[workload][1])
        out.append(f'<line x1="{goal:.1f}" x2="{goal:.1f}" y1="{top - 2}" y2="{y}" stroke="black" stroke-dasharray="2,2"/>')
        y += gap
    return "\n".join(out + ["</svg>"]) + "\n"


def write(folder, labels, about):
    table = read(f"{folder}/results.csv")
    seen = {label for by_label in table.values() for label in by_label}
    labels = [label for label in labels if label in seen] + sorted(seen - set(labels))
    with open(f"{folder}/RESULTS.md", "w") as f:
        f.write(markdown(table, labels, about))
    with open(f"{folder}/results.svg", "w") as f:
        f.write(svg(table, labels))
    return table, labels
