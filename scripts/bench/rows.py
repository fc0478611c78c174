# SPDX-License-Identifier: Apache-2.0
"""From times of sides to a row of docs/benchmarks/results.json."""
import statistics


def figures(values):
    """Median and spread of one side; the quartiles say how far a single time strays."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return {"median": statistics.median(ordered), "low": ordered[0], "high": ordered[-1], "quartiles": [ordered[quarter], ordered[-1 - quarter]], "count": len(ordered)}


def rounded(value):
    """Four digits are more than any of these figures holds."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    return [rounded(entry) for entry in value] if isinstance(value, list) else value


def row(case, unit, sides, ours, limit=None, failed=None, **more):
    """sides: {name: values}; `ours` names our side. Times are better small, rates (unit X/s) great; ratio > 1: ours is better."""
    rate = unit.endswith("/s")
    told = {name: figures(values) for name, values in sides.items()}
    peers = {name: entry for name, entry in told.items() if name != ours}
    best = (max if rate else min)(peers, key=lambda name: peers[name]["median"], default=None)
    mine = told[ours]["median"] if ours in told else None
    theirs = peers[best]["median"] if best else None

    def share(better, worse):
        return better / worse if better and worse else None
    return rounded({
        "case": case, "ours": mine, "best_peer": theirs, "peer": best, "unit": unit,
        "ratio": share(mine, theirs) if rate else share(theirs, mine),
        "limit": limit, "share_of_limit": share(mine, limit) if rate else share(limit, mine),
        "spread": {key: told[ours][key] for key in ("low", "high", "quartiles", "count")} if mine else None,
        "peers": peers, "failed": failed or {}, **more})
