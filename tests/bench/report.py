"""What was measured, as tables for people; the same numbers go into a JSON file."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tests.bench.world import AGAIN, FLOOR, PLENTY, RECORDS, STOPGAP, WEBHOOK

PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("max", 100.0))


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile, between the two nearest values."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def summary(rounds: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    """Percentiles of each contender, over all its rounds."""
    flat = {name: [value for one in taken for value in one] for name, taken in rounds.items()}
    return {name: {"n": len(values)} | {key: percentile(values, at) for key, at in PERCENTILES} for name, values in flat.items() if values}


def ratio(summed: dict[str, dict[str, float]], above: str, below: str, key: str) -> float | None:
    """One percentile of one contender in units of another's."""
    if above not in summed or below not in summed:
        return None
    return summed[above][key] / summed[below][key]


def _spread(rounds: dict[str, list[list[float]]], above: str, below: str, percent: float) -> str:
    pairs = zip(rounds.get(above, []), rounds.get(below, []), strict=False)
    values = [percentile(one, percent) / percentile(other, percent) for one, other in pairs if one and other]
    return f"{min(values):.2f}-{max(values):.2f}" if values else ""


BARS = (
    ("p50 against the floor", STOPGAP, FLOOR, "p50", 50.0, 2.5),
    ("p99 against the floor", STOPGAP, FLOOR, "p99", 99.0, 3.0),
    ("p50 against floor+records", STOPGAP, RECORDS, "p50", 50.0, 1.3),
    ("noise (A/A): p50 floor again / floor", AGAIN, FLOOR, "p50", 50.0, None),
    ("noise (A/A): p99 floor again / floor", AGAIN, FLOOR, "p99", 99.0, None),
    ("p50 against the webhook", STOPGAP, WEBHOOK, "p50", 50.0, 3.0),
)


def latency(title: str, rounds: dict[str, list[list[float]]]) -> list[str]:
    """The table of one block of incidents, and its ratios beside their bars."""
    summed = summary(rounds)
    lines = ["", title, f"  {'':16}{'n':>4}" + "".join(f"{key:>10}" for key, _ in PERCENTILES) + "   ms"]
    lines += [f"  {name:16}{one['n']:4.0f}" + "".join(f"{one[key]:10.1f}" for key, _ in PERCENTILES) for name, one in summed.items()]
    lines.append(f"  {'ratio':38}{'all':>6}{'by round':>14}{'bar':>9}")
    for label, above, below, key, percent, bar in BARS:
        value = ratio(summed, above, below, key)
        if value is not None:
            lines.append(f"  {label:38}{value:6.2f}{_spread(rounds, above, below, percent):>14}{_bar(value, bar, '{:.1f}')}")
    return lines


def alerts(rates: dict[int, dict[str, list[list[float]]]], limits: dict[str, Any]) -> list[str]:
    """The tables of the alerts, one for each rate, and what was set so that no limit holds Stopgap back."""
    lines = [line for rate, rounds in rates.items() for line in latency(f"Alert POST -> rolled-back template seen, {rate}/s", rounds)]
    told = ", ".join(f"{key} {value:,}" for key, value in limits["stormBreaker"].items())
    often = f"{PLENTY['count']:,} actions in {PLENTY['within']}"
    return [*lines, f"  set for this: budgets and maxActions {often}, cooldown 1s, stormBreaker {told}; each alert is resolved once undone"]


def _bar(value: float, bar: float | None, shape: str) -> str:
    if bar is None:
        return ""
    return f"{'<= ' + shape.format(bar):>9}   {'holds' if value <= bar else 'does not hold'}"


def line(label: str, value: float, bar: float, *, unit: str = "", shape: str = "{:.0f}") -> str:
    """One figure with its bar."""
    return f"  {label:52}{shape.format(value):>8} {unit:5}{_bar(value, bar, shape)}"


def idle(found: dict[str, Any]) -> list[str]:
    """The idle check, and the writes of an incident."""
    lines = ["", f"Idle for {found['seconds']:.0f} s, everything warm (requests by the audit log)"]
    lines.append(line("LISTs", found["lists"], 0))
    lines.append(line("writes other than the Lease", found["writes"], 0))
    lines.append(f"  {'all of it: ' + _counted(found['requests'])}")
    lines.append(f"  LISTs between the start and here: {_counted(found['lists_since_start']) or 'none'}")
    lines += ["", f"Requests per incident (worst of {len(found['incidents'])}; Events and SelfSubjectAccessReviews apart)"]
    if found["incidents"]:
        lines.append(line("writes, from opening it up to and including the action", found["worst_until_action"], 3))
        lines.append(line("writes in all, from the release to the end", found["worst_all"], 9))
        lines.append(f"  until the action: {', '.join(found['example']['until_action'])}")
        lines.append(f"  in all: {', '.join(found['example']['all'])}; {found['example']['events']} Events")
    return lines


def size(rows: list[dict[str, Any]]) -> list[str]:
    """Memory and start time."""
    lines = ["", "Size (each Deployment with 3 ReplicaSets and 3 healthy pods, all under a policy)"]
    lines.append(f"  {'Deployments':>12}{'RSS MiB':>10}{'peak MiB':>10}{'start s':>9}{'CPU s':>8}")
    lines += [f"  {row['deployments']:12}{row['rss']:10.1f}{row['peak']:10.1f}{row['start']:9.2f}{max(row['cpu']):8.2f}" for row in rows]
    lines.append(line("RSS with nothing to watch", rows[0]["rss"], 90, unit="MiB", shape="{:.1f}"))
    for before, row in pairwise(rows):
        more = (row["rss"] - before["rss"]) / (row["deployments"] - before["deployments"]) * 1000
        label = f"RSS per 1,000 Deployments, from {before['deployments']} to {row['deployments']}"
        lines.append(line(label, more, 5, unit="MiB", shape="{:.1f}"))
    if len(rows) > 2:
        more = (rows[-1]["rss"] - rows[0]["rss"]) / rows[-1]["deployments"] * 1000
        lines.append(line(f"RSS per 1,000 Deployments, from 0 to {rows[-1]['deployments']}", more, 5, unit="MiB", shape="{:.1f}"))
    last = rows[-1]
    lines.append(line(f"start to first possible decision, at {last['deployments']}", last["start"], 3, unit="s", shape="{:.2f}"))
    if last["deployments"] < 10_000:
        lines.append("  (the bars are meant for 10,000 Deployments: --size 10000)")
    return lines


def _counted(counts: dict[str, int]) -> str:
    by_number: Callable[[tuple[str, int]], int] = lambda pair: -pair[1]  # noqa: E731 - typed, where an inline lambda is not
    return ", ".join(f"{number} x {what}" for what, number in sorted(counts.items(), key=by_number))
