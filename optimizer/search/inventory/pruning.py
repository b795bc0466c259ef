"""Dominated candidates of no plan worth having, found before the proof looks at such plans: ``docs/inventories.md``, section 6.

With what beats them in their places, a plan of dominated candidates becomes one without, whose bound at a multiplier γ is lower by
what each of them earns less than its winner. So any plan with such a candidate is at least that much above the least bound of
all plans without; and where it is so slow that it earns nothing, what its share of the requests costs is added. What a candidate
earns is known in three steps: at most so much by how long its requests stay at least; by its mean times at some rates, as far as that
decides; and as finely as cuts know it, for which the rates that it carries are looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.candidate import InstanceCandidate
from optimizer.search.inventory.counts import Item, Terms
from optimizer.search.inventory.down_counts import availability, inner_availability
from optimizer.search.inventory.group_types import GroupType
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.row_earnings import may_earn_more
from optimizer.search.inventory.tables import InstanceTable
from optimizer.search.inventory.valuation import SHARES

_ROUNDING = 1 + 1e-9
_SURE_NS = 10
"""Room for the rounding of sums of whole ns."""


def without_slow(terms: Terms) -> Terms:
    """The same terms, nothing added for slow candidates: the bound that what stands for a candidate keeps."""
    return replace(terms, extra_ns=(0,) * len(terms.extra_ns))


@dataclass(frozen=True, slots=True)
class Pruning:
    """What tells that a candidate's every plan has a bound above ``most_ns``.

    Args:
        few: a model without the candidates that others beat, and what each of them earns.
        least_ns: the least bound of any plan of these with these terms alone, nothing added for slow ones.
        most_ns: of the objective.
    """

    few: Master
    terms: Terms
    least_ns: int
    most_ns: int

    def among(self, full: Master, terms: Terms) -> frozenset[tuple[int, int]]:
        """(place, position) of the pruned candidates of a model, each earning what ``terms`` says."""
        at = self._positions()
        found = set()
        for number, (item, extra) in enumerate(zip(full.items, terms.extra_ns, strict=True)):
            winner, times = _winner(full, item)
            loss: float = 0
            if winner != item.position:
                lines = [line[number] for line in (terms.earned_ns, *terms.by_class_ns)]
                loss = self._loss(at[item.place, winner], times, lines, item.candidate.gpus)
            if self.least_ns + loss + extra > self.most_ns:
                found.add((item.place, item.position))
        return frozenset(found)

    def may_matter(
        self, kind: GroupType, table: InstanceTable, rows: Ints, winners: Sequence[tuple[int, int]]
    ) -> Bools:
        """Rows of a table that may be part of a plan worth having, as far as stays and mean times of their requests tell.

        Args:
            winners: what beats each row: position among the candidates of the kind, and how many of it in place of one.
        """
        full, gamma = self.few, self.terms.gamma_ms
        at, w = self._positions(), full.weights
        gains = table.earns_at_most(rows, gamma)
        stays = table.least_stay_ms(rows)
        worth = w.latency * NS_PER_MS / full.problem.workload.requests_per_s * _ROUNDING
        slow = np.where(gains == 0, np.maximum(0.0, stays - gamma), 0.0) * w.latency * full.all_up / SHARES * NS_PER_MS
        up = _Availabilities(full, by_class=bool(self.terms.by_class_ns))
        found = np.zeros(len(rows), dtype=np.bool_)
        limit = np.full(len(rows), np.inf)
        for number, place in enumerate(full.candidates.places):
            if full.candidates.group_types[place.kind] is not kind:
                continue
            for i, (row, (winner, times)) in enumerate(zip(rows.tolist(), winners, strict=True)):
                item = at.get((number, winner))
                if item is None:
                    continue  # where the winner finds no room, what it beats finds none
                candidate = table.unrated(row)
                each = [worth * share for share in up.of(place.groups, candidate)]
                loss = self._loss(item, times, [one * float(gains[i]) for one in each], candidate.gpus)
                if self.least_ns + loss + slow[i] / _ROUNDING <= self.most_ns + _SURE_NS:
                    found[i] = True
                    limit[i] = min(limit[i], self._enough(item, times, each, candidate.gpus))
        some = np.flatnonzero(found)
        found[some] = may_earn_more(table, rows[some], gamma, limit[some])
        return found

    def _positions(self) -> dict[tuple[int, int], int]:
        return {(item.place, item.position): number for number, item in enumerate(self.few.items)}

    def _enough(self, winner: int, times: int, worth: Sequence[float], gpus: int) -> float:
        """What a candidate has to earn more than, requests/s · ms, for a plan with it to be worth having.

        Args:
            worth: ns for each requests/s · ms in all states, and in each class.
        """
        needed = self.most_ns + _SURE_NS - self.least_ns
        needed -= self.few.gpu_ns * (gpus - times * self.few.items[winner].candidate.gpus)
        earned = [self.terms.earned_ns[winner]]
        if self.terms.by_class_ns:
            earned.append(sum(one[winner] for one in self.terms.by_class_ns))
        both = zip(earned, (worth[0], sum(worth[1:])), strict=False)
        return min((times * other - needed) / own if own > 0 else math.inf for other, own in both)

    def _loss(self, winner: int, times: int, earned: Sequence[float], gpus: int) -> float:
        """What a plan's bound is above that with what beats a candidate in its place, ns; none earns more than that does.

        Args:
            earned: what the candidate earns in all states, and in each class.
        """
        best = (self.terms.earned_ns[winner], *(one[winner] for one in self.terms.by_class_ns))
        whole, *classes = (max(0.0, times * other - own) for other, own in zip(best, earned, strict=True))
        # The objective is above the larger of two bounds: that of all states at once, and that class by class.
        loss = min(whole, sum(classes)) if classes else whole
        return loss + self.few.gpu_ns * (gpus - times * self.few.items[winner].candidate.gpus)


class _Availabilities:
    """The share of the time that an instance counts as up in all states, and in each class, by its size."""

    def __init__(self, master: Master, *, by_class: bool) -> None:
        self._master, self._by_class = master, by_class
        self._known: dict[tuple[tuple[int, ...], int, int], list[float]] = {}

    def of(self, groups: tuple[int, ...], candidate: InstanceCandidate) -> list[float]:
        """As the terms of a model count it."""
        key = groups, candidate.gpus, candidate.nodes
        if key not in self._known:
            master = self._master
            always = availability(master.problem, groups, candidate)
            classes = master.down_counts.up(groups, inner_availability(master.problem, groups, candidate), always)
            whole = 1.0 if master.weights.unserved == 0 else always
            self._known[key] = [whole, *(classes if self._by_class else ())]
        return self._known[key]


def _winner(full: Master, item: Item) -> tuple[int, int]:
    """What beats a candidate, and how many of it in place of one; itself where nothing does."""
    kind = full.candidates.group_types[full.candidates.places[item.place].kind]
    return kind.dominated.get(item.position, (item.position, 1))
