# SPDX-License-Identifier: Apache-2.0
"""results.json as a page and a plot: everything that is written about the figures comes from here."""
import json
import math
from xml.sax.saxutils import escape

from rows import rounded

PAGE = """# Benchmarks

Written by `./run bench` (`scripts/bench/bench.py`); do not edit. {processor}, {threads} threads.
Medians; *ratio* is against the best peer at the same precision of weights, above 1 where ours is better; *of limit* is the share of what the machine
allows, measured in the same run: {limits}. *Away*: relative RMS distance of our output from the reference peer's (forward cases of int8 and int4: from
PyTorch in bf16, the peers' own distance in results.json). All peers of a row, spreads and what failed: [results.json](results.json).

| case | ours (low to high) | best peer | ratio | limit | of limit | away |
|---|---|---|---|---|---|---|
{rows}

![Ratio of each case to its best peer](ratios.svg)
{notes}"""


def kept_rows(file, known):
    """Rows of an earlier run by case, those of cases that there still are."""
    if not file.exists():
        return {}
    return {entry["case"]: entry for entry in json.loads(file.read_text())["rows"] if entry["case"] in known and "peers" in entry}


def number(value, unit=""):
    return "-" if value is None else f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}" + (f" {unit}" if unit else "")


def percent(value):
    return "-" if value is None else f"{100 * value:.0f} %"


def line(entry):
    failed = "".join(f"; {name}: {why}" for name, why in entry["failed"].items())
    away = "" if entry.get("relative_difference") is None else f", away {entry['relative_difference']:.1e}"
    return (f"{entry['case']:24s} ours {number(entry['ours'], entry['unit'])}, {entry['peer'] or 'no peer'} {number(entry['best_peer'])}, "
            f"ratio {number(entry['ratio'])}, of limit {percent(entry['share_of_limit'])}{away}{failed}")


def table_row(entry):
    spread = entry.get("spread")
    ours = number(entry["ours"], entry["unit"]) + (f" ({number(spread['low'])} to {number(spread['high'])})" if spread else "")
    peer = f"{number(entry['best_peer'])} {entry['peer']}" if entry["peer"] else "none: " + "; ".join(entry["failed"].values())[:120]
    away = "-" if entry.get("relative_difference") is None else f"{entry['relative_difference']:.1e}"
    return f"| {entry['case']} | {ours} | {peer} | {number(entry['ratio'])} | {number(entry['limit'])} | {percent(entry['share_of_limit'])} | {away} |"


def page(results):
    notes = [f"- `{entry['case']}`: {name} is missing: {why}" for entry in results["rows"] for name, why in entry["failed"].items()]
    busy = [entry["case"] for entry in results["rows"] if not entry.get("quiet", True)]
    if busy:
        notes.append(f"- Measured on a busy machine, not to be quoted: {', '.join(busy)}.")
    limits = ", ".join(f"{name} {number(value)}" for name, value in results["limits"].items()) or "-"
    return PAGE.format(processor=results["machine"]["processor"], threads=results["threads"], limits=limits, rows="\n".join(map(table_row, results["rows"])),
                       notes="\n" + "\n".join(notes) + "\n" if notes else "")


def plot(rows):
    """Bars on a logarithmic axis that begin at 1: to the right ours is better."""
    rows = [entry for entry in rows if entry.get("ratio")]
    left, width, step, top = 190, 420, 18, 30
    reach = max([2.0] + [max(entry["ratio"], 1 / entry["ratio"]) for entry in rows]) * 1.1
    low = min([1.0] + [entry["ratio"] for entry in rows]) / 1.1

    def x(ratio):
        return left + width * (math.log(ratio) - math.log(low)) / (math.log(reach) - math.log(low))
    height = top + step * len(rows) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 60}" height="{height}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="{left}" y="16">ratio to the best peer (above 1: ours is better)</text>']
    for tick in (t for t in (0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50) if low <= t <= reach):
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{height - 26}" stroke="{"#333" if tick == 1 else "#ddd"}"/>'
                   f'<text x="{x(tick):.1f}" y="{height - 12}" text-anchor="middle">{tick:g}</text>')
    for i, entry in enumerate(rows):
        y, begin, end = top + step * i, *sorted((x(1), x(entry["ratio"])))
        out.append(f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{escape(entry["case"])}</text>'
                   f'<rect x="{begin:.1f}" y="{y + 2}" width="{max(1, end - begin):.1f}" height="{step - 6}" fill="{"#2a7f62" if entry["ratio"] >= 1 else "#b5483a"}"/>'
                   f'<text x="{max(end, x(1)) + 4:.1f}" y="{y + 11}">{number(entry["ratio"])}</text>')
    return "\n".join(out) + "\n</svg>\n"


def write(results, folder):
    text = ",\n  ".join(json.dumps(entry) for entry in results["rows"])
    head = json.dumps({key: value for key, value in results.items() if key != "rows"})[1:-1]
    (folder / "results.json").write_text(f'{{{head}, "rows": [\n  {text}\n]}}\n')
    (folder / "README.md").write_text(page(results))
    (folder / "ratios.svg").write_text(plot(results["rows"]))
