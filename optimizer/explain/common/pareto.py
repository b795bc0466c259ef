"""A front in words: what each point costs and gives against the one before, and the knee."""

from __future__ import annotations

import math
from dataclasses import replace

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.results.front import Axis, FrontPoint, ParetoFront

LEAST_LOST = 1e-12


def axis_value(point: FrontPoint, axis: Axis) -> float:
    """A point's value on an axis, smaller is better; what is not served counts by its order of magnitude."""
    if axis == "latency":
        return point.request_mean_ms
    if axis == "availability":
        return math.log10(max(LEAST_LOST, point.not_served))
    return float(point.gpus) if axis == "gpus" else point.price_per_hour or 0.0


def told(front: ParetoFront) -> ParetoFront:
    """The same front with a sentence at each point and the knee marked.

    The knee is the point nearest to the best value of every axis at once, each axis scaled from its best to its worst on the
    front; a front of fewer than three points has none.
    """
    points = list(front.points)
    if len(points) >= 3:
        columns = []
        for axis in front.axes:
            values = [axis_value(point, axis) for point in points]
            low, span = min(values), max(values) - min(values)
            columns.append([(value - low) / span if span else 0.0 for value in values])
        distance = [math.hypot(*scaled) for scaled in zip(*columns, strict=True)]
        knee = distance.index(min(distance))
        points[knee] = replace(points[knee], knee=True)
    told_points = [replace(p, sentence=_sentence(p, points[i - 1] if i else None)) for i, p in enumerate(points)]
    return replace(front, points=tuple(told_points))


def served(not_served: float, other: float | None = None) -> str:
    """The share of requests served with as many nines as it has, and as many digits as tell it from another's."""
    if not_served < LEAST_LOST:
        return "more than 99.9999999999%"
    digits = max(2, 2 - math.floor(math.log10(not_served)) - 2)
    if other is not None and other != not_served:
        digits = max(digits, -math.floor(math.log10(abs(other - not_served))) - 2)
    return f"{(1 - not_served) * 100:.{min(12, digits)}f}%"


def _sentence(point: FrontPoint, before: FrontPoint | None) -> str:
    what = f"{point.label} on {count(point.gpus, 'GPU')}"
    if before is None:
        mean = milliseconds(point.request_mean_ms)
        text = f"{what} takes {mean} per request in the mean and serves {served(point.not_served)} of the requests."
    else:
        costs, gives = _changes(point, before)
        text = f"Against the point before, {what} "
        parts = ([f"costs {', '.join(costs)}"] if costs else []) + ([f"gives {', '.join(gives)}"] if gives else [])
        text += (" and ".join(parts) if parts else "is the same on every axis") + "."
    return text + (" It is the knee: the nearest to the best of every axis at once." if point.knee else "")


def _changes(point: FrontPoint, before: FrontPoint) -> tuple[list[str], list[str]]:
    costs: list[str] = []
    gives: list[str] = []
    slower = point.request_mean_ms - before.request_mean_ms
    if slower:
        side, word = (costs, "more") if slower > 0 else (gives, "less")
        side.append(f"{milliseconds(abs(slower))} {word} per request ({slower / before.request_mean_ms:+.1%})")
    lost = point.not_served - before.not_served
    if lost:
        side = costs if lost > 0 else gives
        side.append(
            f"{served(point.not_served, before.not_served)} of the requests served instead of "
            f"{served(before.not_served, point.not_served)}"
        )
    gpus = point.gpus - before.gpus
    if gpus:
        (costs if gpus > 0 else gives).append(f"{count(abs(gpus), 'GPU')} {'more' if gpus > 0 else 'fewer'}")
    if point.price_per_hour is not None and before.price_per_hour is not None:
        price = point.price_per_hour - before.price_per_hour
        if price:
            (costs if price > 0 else gives).append(f"{abs(price):,.2f} {'more' if price > 0 else 'less'} per hour")
    return costs, gives
