"""Rules ``survive_<level>``: every choice of lost domains, the worst of them, and the claim about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb

from optimizer.facts.inventory import Losses
from optimizer.results.placement import PlacedInstance
from optimizer.verify.inventory.restarts import Restarts
from optimizer.verify.inventory.site import CheckedSite

MOST_SCENARIOS = 20_000
"""Choices of lost domains that are gone through one by one; beyond, those that cannot be worst are skipped by a bound."""


@dataclass(frozen=True, slots=True)
class CheckedWorst:
    """The choice that costs most."""

    capacity_left: Fraction
    lost: tuple[str, ...]
    instances_lost: int
    scenarios: int
    """Choices of domains that this covers."""


def victims(site: CheckedSite, level: str, placed: Sequence[PlacedInstance]) -> dict[str, frozenset[int]]:
    """Domain name → numbers of the instances that touch it, for every domain of the level that any touches."""
    found: dict[str, set[int]] = {}
    for number, instance in enumerate(placed):
        if level == "gpu":
            names = [place.name for place in instance.gpus]
        else:
            names = [name for kind, name in site.shared_parts(instance) if kind == level]
        for name in names:
            found.setdefault(name, set()).add(number)
    return {name: frozenset(members) for name, members in found.items()}


def capacity_without(
    lost: Sequence[str], touched: Mapping[str, frozenset[int]], capacities: Sequence[Fraction]
) -> tuple[Fraction, int]:
    """(capacity left, instances lost) when the named domains are lost."""
    gone = frozenset[int]().union(*(touched.get(name, frozenset()) for name in lost))
    return sum(capacities, Fraction(0)) - sum((capacities[i] for i in gone), Fraction(0)), len(gone)


def after_restarts(site: CheckedSite, level: str) -> bool:
    """Whether losses at the level are judged after restarts on unused GPUs."""
    return level == "gpu" and site.inventory.within_s is not None


def worst_loss(
    site: CheckedSite,
    losses: Losses,
    placed: Sequence[PlacedInstance],
    capacities: Sequence[Fraction],
    restart: Sequence[bool],
) -> CheckedWorst:
    """Over all choices of domains at the level, the least capacity left.

    Args:
        restart: whether each instance restarts in time; no domains are named where that counts.

    Domains that take the same instances with them are one: losing a second one of them takes nothing more.
    """
    domains = site.count(losses.level)
    scenarios = comb(domains, min(losses.count, domains))
    if after_restarts(site, losses.level):
        down, instances = Restarts(site, placed, capacities, restart).worst(losses.count)
        return CheckedWorst(sum(capacities, Fraction(0)) - down, (), instances, scenarios)
    touched = victims(site, losses.level, placed)
    kinds: dict[frozenset[int], str] = {}
    for name, members in touched.items():
        kinds.setdefault(members, name)
    weight = {members: sum((capacities[i] for i in members), Fraction(0)) for members in kinds}
    ordered = sorted(kinds, key=lambda members: -weight[members])
    take = min(losses.count, len(ordered))
    total = sum(capacities, Fraction(0))
    best, chosen = Fraction(-1), tuple[frozenset[int], ...]()
    if comb(len(ordered), take) <= MOST_SCENARIOS:
        for choice in combinations(ordered, take):
            gone = sum((capacities[i] for i in frozenset[int]().union(*choice)), Fraction(0))
            if gone > best:
                best, chosen = gone, choice
    else:
        best, chosen = _bounded(ordered, weight, take, capacities)
    lost = frozenset[int]().union(*chosen)
    return CheckedWorst(
        total - max(best, Fraction(0)), tuple(kinds[members] for members in chosen), len(lost), scenarios
    )


def _bounded(
    ordered: Sequence[frozenset[int]],
    weight: Mapping[frozenset[int], Fraction],
    take: int,
    capacities: Sequence[Fraction],
) -> tuple[Fraction, tuple[frozenset[int], ...]]:
    """The worst choice by branch and bound: what the heaviest domains left would take, overlaps ignored, is the bound."""
    best, chosen = Fraction(-1), tuple[frozenset[int], ...]()

    def extend(start: int, choice: tuple[frozenset[int], ...], gone: frozenset[int], taken: Fraction) -> None:
        nonlocal best, chosen
        left = take - len(choice)
        if left == 0:
            if taken > best:
                best, chosen = taken, choice
            return
        for position in range(start, len(ordered) - left + 1):
            if taken + sum((weight[m] for m in ordered[position : position + left]), Fraction(0)) <= best:
                return
            members = ordered[position]
            more = sum((capacities[i] for i in members - gone), Fraction(0))
            extend(position + 1, (*choice, members), gone | members, taken + more)

    extend(0, (), frozenset(), Fraction(0))
    return best, chosen
