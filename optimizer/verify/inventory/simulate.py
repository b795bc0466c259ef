"""Failures and repairs played in time: every part by itself, up for exponential times and down for exponential times.

Shares no step with ``states``: it starts from named parts, and sees only what happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.states import rates_of
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, judge

FAILURES = 20_000
"""Expected failures of parts in one simulation; the horizon follows from it."""
_EXACT_KEYS = 2.0**62
BATCHES = 100
NORMAL_99 = 2.576
NONE_SEEN_99 = 5.3
"""More events than this on average would be seen at least once, but for one time in 200."""


@dataclass(frozen=True, slots=True)
class Level:
    """The parts of one level that instances touch. Entry e: part ``part[e]`` takes instance ``instance[e]`` down."""

    name: str
    parts: int
    mtbf_hours: float
    part: Ints
    instance: Ints


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was seen, with the half-widths of 99 % intervals."""

    hours: float
    failures: int
    outages: int
    availability: float
    within: float
    outages_within: float
    """Half-width for the number of outages."""


def levels_of(site: CheckedSite, placed: Sequence[PlacedInstance]) -> list[Level]:
    """Every level at which parts fail by themselves, with the parts in use."""
    rates = rates_of(site.inventory, site.inventory.failing_levels())
    touched: dict[str, tuple[list[int], list[int], dict[str, int]]] = {level: ([], [], {}) for level in rates}
    for number, instance in enumerate(placed):
        own = [("gpu", place.name) for place in instance.gpus]
        for level, name in (*own, *site.failing_parts(instance)):
            if level in touched:
                part, whose, names = touched[level]
                part.append(names.setdefault(name, len(names)))
                whose.append(number)
    return [
        Level(level, len(names), rates[level], np.array(part, dtype=np.int64), np.array(whose, dtype=np.int64))
        for level, (part, whose, names) in touched.items()
        if names
    ]


def victims_of(level: Level) -> tuple[Ints, Ints]:
    """(first, whose): part p takes the instances whose[first[p]:first[p + 1]] down."""
    order = np.argsort(level.part, kind="stable")
    return np.searchsorted(level.part[order], np.arange(level.parts + 1)), level.instance[order]


def spread(first: Ints, parts: Ints) -> tuple[Ints, Ints]:
    """(position in ``parts``, entry of ``whose``) for every instance that each of the parts takes down."""
    count = (first[1:] - first[:-1])[parts]
    position = np.repeat(np.arange(len(parts)), count)
    within = np.arange(len(position)) - np.repeat(np.cumsum(count) - count, count)
    return position, first[parts][position] + within


def distinct_lines(table: Ints) -> tuple[Ints, Ints]:
    """(the distinct lines of a table of counts, the one that each line is)."""
    sizes = table.max(axis=0, initial=0).astype(np.float64) + 1
    if sizes.prod() >= _EXACT_KEYS:
        kinds, which = np.unique(table, axis=0, return_inverse=True)
        return kinds.astype(np.int64), which.reshape(-1)
    # One number for each line: sorting these is ten times faster than sorting lines.
    key = table @ np.append(1, np.cumprod(sizes[:-1])).astype(np.int64)
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return table[first].astype(np.int64), which


def simulate(
    levels: Sequence[Level],
    repair_hours: float,
    families: Sequence[InstanceFamily],
    family_of: Ints,
    demand: float,
    weights: LoadWeights,
    seed: int,
    failures: int = FAILURES,
) -> Simulated:
    """Play so many failures.

    Args:
        family_of: family of each instance.
    """
    rng = np.random.default_rng(seed)
    horizon = failures / sum(level.parts / (level.mtbf_hours + repair_hours) for level in levels)
    times, changes, instances, seen = [], [], [], 0
    for level in levels:
        part, begins, ends = _downtimes(rng, level, repair_hours, horizon)
        seen += len(part)
        first, whose = victims_of(level)
        event, entry = spread(first, part)
        for moment, change in ((begins, 1), (ends, -1)):
            times.append(moment[event])
            changes.append(np.full(len(event), change))
            instances.append(whose[entry])
    moment, down = _family_counts(
        np.concatenate(times), np.concatenate(changes), np.concatenate(instances), family_of, len(families), horizon
    )
    kinds, which = distinct_lines(down)
    found = judge(families, demand, weights, kinds)
    lasting = np.diff(np.append(moment, horizon))
    missed, carried = (1 - found.served[which]) * lasting, found.carried[which]
    starts = ~carried & np.append(True, carried[:-1])
    episodes = np.bincount(np.cumsum(starts)[~carried], weights=missed[~carried]) if starts.any() else np.zeros(1)
    longest = max(repair_hours, float(episodes.max(initial=0.0)))
    spread_hours = NORMAL_99 * float(np.sqrt((episodes**2).sum())) + NONE_SEEN_99 * longest
    outages = int(starts.sum())
    # Outages come in clusters while other parts are under repair, so that their number varies more than by chance alone.
    batches = np.histogram(moment[starts], bins=BATCHES, range=(0.0, horizon))[0]
    spread_of_counts = max(float(np.sqrt(outages + 1)), float(batches.std() * np.sqrt(BATCHES)))
    return Simulated(
        hours=horizon,
        failures=seen,
        outages=outages,
        availability=1 - float(missed.sum()) / horizon,
        within=spread_hours / horizon,
        outages_within=NORMAL_99 * spread_of_counts + NONE_SEEN_99,
    )


def _downtimes(
    rng: np.random.Generator, level: Level, repair_hours: float, horizon: float
) -> tuple[Ints, Floats, Floats]:
    """(part, begin, end) of every time down within the horizon, parts starting in their steady state."""
    cycles = horizon / (level.mtbf_hours + repair_hours)
    most = int(cycles + 8 * np.sqrt(cycles) + 12)
    up_first = rng.random(level.parts) >= repair_hours / (level.mtbf_hours + repair_hours)
    while True:
        up = rng.exponential(level.mtbf_hours, (level.parts, most))
        down = rng.exponential(repair_hours, (level.parts, most))
        up[:, 0] *= up_first  # a part that is down at the start has no time up before
        ends = np.cumsum(up + down, axis=1)
        if (ends[:, -1] > horizon).all():
            break
        most *= 2
    begins = ends - down
    part, cycle = np.nonzero(begins < horizon)
    return part, begins[part, cycle], np.minimum(ends[part, cycle], horizon)


def _family_counts(
    times: Floats, changes: Ints, instances: Ints, family_of: Ints, families: int, horizon: float
) -> tuple[Floats, NDArray[np.int64]]:
    """(moments, instances of each family down from then on): an instance is down while any of its parts is."""
    order = np.lexsort((-changes, times, instances))
    times, changes, instances = times[order], changes[order], instances[order]
    running = np.cumsum(changes)
    new = np.append(True, instances[1:] != instances[:-1]) if len(instances) else np.zeros(0, dtype=bool)
    # Whatever is down at the horizon ends there, so that each instance's changes add up to nothing.
    before = running - changes
    before = np.where(new, 0, before)
    falls, rises = (before == 0) & (changes == 1), (running == 0) & (changes == -1)
    turns = falls | rises
    at, family, change = times[turns], family_of[instances[turns]], changes[turns]
    order = np.argsort(at, kind="stable")
    at, family, change = at[order], family[order], change[order]
    steps = np.zeros((len(at) + 1, families), dtype=np.int64)
    steps[np.arange(1, len(at) + 1), family] = change
    down = np.cumsum(steps, axis=0)
    moments = np.append(0.0, at)
    last = np.append(moments[1:] > moments[:-1], True) & (moments < horizon)
    return moments[last], down[last]
