"""Reading a curve over counts of GPUs: where it is enough, where it bends, where it is cheapest, and where more is no better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from optimizer.facts.demand import FEWEST
from optimizer.sweeps.points import Point

IDLE = "GPUs that fill no node stand idle"
MOST_SAID = 5
RESOLUTION_MS = 2e-5
"""Objectives closer than this are equal (``docs/model.md``)."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """Counts ``first`` to ``last`` that are no better than the count before them, and why."""

    first: int
    last: int
    reason: str
    idle: bool = False
    """Whether it is only that GPUs which fill no node stand idle."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What the points of one scenario say, in order of counts. Counts are GPUs; None where no point says it."""

    name: str
    fewest: Point | None
    """The least count that meets everything."""
    knee: Point | None
    """Where the curve bends most (Kneedle: Satopää and others, Finding a "Kneedle" in a haystack, ICDCSW 2011)."""
    cheapest: Point | None
    """The least price per million output tokens."""
    plateaus: tuple[Plateau, ...] = ()
    violations: tuple[str, ...] = ()
    """Counts at which more GPUs are worse, which a definition or the model has to explain."""
    errors: int = 0
    sentences: tuple[str, ...] = field(default=())


def curves(points: Sequence[Point]) -> list[Curve]:
    """One reading for each scenario that was asked at more than one count."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.name, []).append(point)
    return [read(name, group) for name, group in groups.items() if len({point.gpus for point in group}) > 1]


def read(name: str, points: Sequence[Point]) -> Curve:
    """The reading of one scenario's points."""
    ordered = sorted((point for point in points if point.gpus is not None), key=lambda point: point.gpus or 0)
    good = [point for point in ordered if point.status in ("optimal", "feasible")]
    priced = [point for point in good if point.price_per_million_output_tokens is not None]
    curve = Curve(
        name=name,
        fewest=good[0] if good else None,
        knee=_knee(good),
        cheapest=min(
            priced, key=lambda point: (point.price_per_million_output_tokens or 0.0, point.gpus), default=None
        ),
        plateaus=_plateaus(ordered),
        violations=_violations(ordered),
        errors=sum(point.status == "error" for point in ordered),
    )
    return Curve(
        **{**{n: getattr(curve, n) for n in Curve.__dataclass_fields__}, "sentences": tuple(_said(curve, good))}
    )


def worth(point: Point) -> tuple[float, float]:
    """What is minimised at a point: the tier of its preset (0 where there is none), then the objective in ms."""
    figures = point.figures
    assert point.objective is not None and figures is not None
    first = 0.0
    if point.preset == "throughput":
        first = -figures.peak_tokens_per_s
    elif point.preset == "capacity":
        first = -figures.max_request_rate
    elif point.preset == "cheapest" and point.price_per_hour is not None:
        first = point.price_per_hour
    elif point.preset in FEWEST:
        first = float(point.gpus_used or 0)
    return first, point.objective.value


def better(one: Point, other: Point) -> bool:
    """Whether a point is better than another, by more than rounding."""
    (tier, value), (other_tier, other_value) = worth(one), worth(other)
    if abs(tier - other_tier) > 2e-3:
        return tier < other_tier
    return value < other_value - max(RESOLUTION_MS, abs(other_value) * 1e-12)


def _knee(good: Sequence[Point]) -> Point | None:
    """The point farthest below the straight line from the first to the last, both axes from 0 to 1; None for fewer than three."""
    if len(good) < 3:
        return None
    tier = good[0].preset in ("throughput", "capacity")
    values = [worth(point)[0] if tier else worth(point)[1] for point in good]
    counts = [float(point.gpus or 0) for point in good]
    high, low = values[0], values[-1]
    if high - low <= RESOLUTION_MS:
        return None
    below = [
        1 - (count - counts[0]) / (counts[-1] - counts[0]) - (value - low) / (high - low)
        for count, value in zip(counts, values, strict=True)
    ]
    most = max(below)
    return good[below.index(most)] if most > 1e-9 else None


def _plateaus(ordered: Sequence[Point]) -> tuple[Plateau, ...]:
    """Runs of counts that are no better than the one before."""
    found: list[Plateau] = []
    best: Point | None = None
    improved = True
    for point in ordered:
        if point.objective is None:
            continue
        if best is None or better(point, best):
            best, improved = point, True
            continue
        idle = _same(point, best) and any("no node" in said for said in point.search_limits)
        reason = f"with fewer GPUs than fill another node {IDLE}" if idle else _reason(point, best)
        count = point.gpus or 0
        goes_on, improved = not improved and found[-1].reason == reason, False
        if goes_on:
            found[-1] = Plateau(found[-1].first, count, reason, idle)
        else:
            found.append(Plateau(count, count, reason, idle))
    return tuple(found)


def _reason(point: Point, best: Point) -> str:
    if _same(point, best):
        return f"{best.label} on {best.gpus_used} GPUs stays best; nothing that uses more is better"
    return f"{best.label} on {best.gpus} GPUs is at least as good"


def _same(point: Point, best: Point) -> bool:
    return _choice(point) == _choice(best) and point.objective == best.objective


def _choice(point: Point) -> object:
    if point.side_by_side is not None:
        return point.side_by_side.share, point.side_by_side.joint, point.side_by_side.pools
    if point.disaggregated is not None:
        return point.disaggregated.strategy
    return point.strategy if point.inventory is None else (point.inventory.label, point.inventory.pools)


def _violations(ordered: Sequence[Point]) -> tuple[str, ...]:
    """Where one more GPU is worse, or makes a feasible question infeasible."""
    said: list[str] = []
    best: Point | None = None
    for point in ordered:
        if point.objective is None:
            if point.status == "infeasible" and best is not None:
                said.append(f"{point.gpus} GPUs keep no strategy although {best.gpus} do: leave the further GPUs out.")
            continue
        if best is None or not better(best, point):
            best = point
            continue
        if point.status != "optimal":
            continue  # something better may be found with more time
        assert best.objective is not None
        said.append(
            f"{point.gpus} GPUs are worse than {best.gpus} by {point.objective.value - best.objective.value:,.3f} ms per request: "
            f"on more nodes {best.label} stands otherwise; leave the further GPUs out."
        )
    return tuple(said)


def _said(curve: Curve, good: Sequence[Point]) -> list[str]:
    said = []
    if curve.fewest is None:
        said.append("No count that was asked meets everything.")
    else:
        said.append(f"Fewest GPUs that meet everything: {curve.fewest.gpus} ({curve.fewest.label}).")
    if curve.knee is not None and curve.knee.objective is not None:
        said.append(
            f"The curve bends most at {curve.knee.gpus} GPUs ({curve.knee.label}, {curve.knee.objective.value:,.0f} ms per request); "
            f"the last count, {good[-1].gpus}, reaches {worth(good[-1])[1]:,.0f} ms."
        )
    if curve.cheapest is not None:
        said.append(
            f"Cheapest: {curve.cheapest.price_per_million_output_tokens:,.2f} per million output tokens "
            f"with {curve.cheapest.gpus} GPUs ({curve.cheapest.label})."
        )
    elif good:
        said.append("Prices are not known; state price_per_gpu_hour, or give --prices FILE.")
    plateaus = [plateau for plateau in curve.plateaus if not plateau.idle]
    if len(plateaus) < len(curve.plateaus):
        said.append(f"No better: counts between whole nodes, because {IDLE}.")
    for plateau in plateaus[:MOST_SAID]:
        counts = f"{plateau.first}" if plateau.first == plateau.last else f"{plateau.first} to {plateau.last}"
        said.append(f"No better: {counts} GPUs, because {plateau.reason}.")
    if len(plateaus) > MOST_SAID:
        said.append(f"{len(plateaus) - MOST_SAID} more such runs are not listed; --json has every point.")
    if curve.violations:
        said += [f"Worse with more: {text}" for text in curve.violations[:MOST_SAID]]
    elif len(good) > 1 and all(point.status == "optimal" for point in good):
        said.append("More GPUs are never worse here: checked from each count to the next.")
    return said
