"""The chain search: bound, a lane of blocks by bisection on the total, and the exact model where the case is small."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from optimizer.search.chain.anneal import anneal
from optimizer.search.chain.blocks import LayerBlock
from optimizer.search.chain.bound import Certificate, upper_bound
from optimizer.search.chain.columns import Columns
from optimizer.search.chain.exact import fits, solve_exact
from optimizer.search.chain.flow import Flows, route
from optimizer.search.chain.greedy import first_placement, lines_along_links
from optimizer.search.chain.groups import Groups, as_one, grouped, only
from optimizer.search.chain.improve import improve
from optimizer.search.chain.instance import ChainInstance, Placement
from optimizer.search.chain.lanes import find_lane
from optimizer.search.chain.named import named
from optimizer.search.chain.place import place
from optimizer.search.chain.varied import vary

SHARES = (0.5, 0.65)
"""What the group left carries where two groups share layers, tried one after the other."""
RANKS = (0.8, 0.5, 0.25)
"""Which link stands for all between two groups, where they differ: a lane's nodes are named so that its links are better ones."""
STEP = 0.0005
"""Bisection on the total stops when the untried range is this share of the bound."""
SLACK = 0.001
"""A lane counts as found for a total when its placement carries this share less."""
SECOND_TRY = 0.97
"""The share of the bound that is tried after the bound itself."""

SHARED_LANES = 0.2
"""The part of the time left that each of these may take: where one finds nothing, other methods need the rest."""
BOUND_SHARE = 0.5
"""The share of the time that the bound may take; cut short it is weaker, and still proved."""

Report = Callable[[int, int], None]


@dataclass(slots=True)
class Search:
    """State of one search; values in thousandths of a token per second."""

    instance: ChainInstance
    deadline: float
    report: Report
    gap: float = 0.0
    """The share of the value that the bound may be above it: then the search has done enough."""
    certificate: Certificate = field(default_factory=lambda: Certificate(0, ()))
    bound: int = 0
    value: int = 0
    placement: Placement = field(default_factory=dict)
    flows: Flows = field(default_factory=dict)
    bounded: bool = False
    """True once the bound is proved; before that there is nothing to report."""
    finished: bool = True
    """False where the time limit cut the construction short."""

    def run(self) -> None:
        """Search until the value meets the bound or the deadline passes."""
        self.certificate = upper_bound(self.instance, self._expired_for_bound(BOUND_SHARE * self._left()))
        self.bound, self.bounded = self.certificate.bound, True
        if self.bound == 0:
            return
        self._candidate(first_placement(self.instance))
        if self._open and not self.instance.limited:
            self._candidate(lines_along_links(self.instance, self._expired))
        groups = grouped(self.instance, self.bound)
        columns = Columns(self.instance, self._expired)
        several = len(groups.members) > 1
        self._bisect(columns, groups, 0.0)
        if self._open and several:
            # Quick methods first; lanes that share layers take the longest.
            self._alone(columns, groups)
            for rank in RANKS if _uneven(self.instance, groups) else ():
                higher = grouped(self.instance, self.bound, rank)
                for share in (0.0, *SHARES):
                    self._bisect(columns, higher, share, rounds=12, within=SHARED_LANES)
            self._bisect(columns, as_one(self.instance, self.bound), 0.0, rounds=3)
            self._candidate(improve(self.instance, self.placement, self._expired, self._seen))
            for share in SHARES:
                self._bisect(columns, groups, share, within=SHARED_LANES)
        if self._open and fits(self.instance) and not self._expired():
            self._finish()
        if self._open and not self._expired() and not several and not self._links_bind(groups):
            self._vary(columns, groups)
        if self._open and not self._expired():
            # Every method is through and a gap is open: look on for as long as there is time.
            anneal(self.instance, self.placement, self._expired, self._candidate)
        self.finished = not self._open or not self._expired()

    def _bisect(self, columns: Columns, groups: Groups, share: float, rounds: int = 60, within: float = 1.0) -> None:
        """The largest total for which a lane is found; the bound itself is tried first.

        Args:
            within: the part of the time left that this may take.
        """
        until = time.monotonic() + within * self._left()

        def attempt(total: int) -> int | None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            lane = find_lane(columns, groups, total, share, left)
            if lane is None:
                return None
            placement = named(self.instance, place(self.instance, groups, lane), total, self._expired)
            carried = self._candidate(placement)
            return max(total, self.value) if carried >= total * (1 - SLACK) else None

        self._climb(self.value, self.bound, attempt, rounds)

    def _links_bind(self, groups: Groups) -> bool:
        """Whether chains are limited, or a node cannot take or give the bound at the coordinator."""
        return self.instance.limited or min(*groups.source, *groups.sink) < self.bound

    def _vary(self, columns: Columns, groups: Groups) -> None:
        """Better choices of blocks than those at the prices of a linear program, where all nodes are one group."""

        def found(blocks: list[LayerBlock]) -> None:
            starts = accumulate((block.length for block in blocks), initial=0)
            self._candidate(
                place(self.instance, groups, [(0, at, block) for at, block in zip(starts, blocks, strict=False)])
            )

        known = columns.known(groups.counts[0])
        vary(self.instance, known, lambda: self.value, self.bound, self._expired, found)

    def _alone(self, columns: Columns, groups: Groups) -> None:
        """Each group with a lane of its own: what remains where links between groups carry next to nothing."""
        together: Placement = {}
        for group in range(len(groups.members)):
            single = only(groups, group)
            found: list[Placement] = []

            def attempt(total: int, single: Groups = single, found: list[Placement] = found) -> int | None:
                lane = find_lane(columns, single, total, seconds=self._left())
                if lane is None:
                    return None
                found.append(place(self.instance, single, lane))
                return max(total, self._carried(found[-1]))

            self._climb(0, self.bound, attempt, 60)
            best: Placement = {}
            for placement in found:
                if self._carried(placement) > self._carried(best):
                    best = placement
            together.update(best)
        self._candidate(together)

    def _carried(self, placement: Placement) -> int:
        return route(self.instance, placement).value

    def _climb(self, low: int, high: int, attempt: Callable[[int], int | None], rounds: int) -> None:
        """Bisection: ``attempt`` returns the value reached for a total, or None."""
        total = high
        while low < high and rounds and not self._expired():
            rounds -= 1
            reached = attempt(total)
            if reached is None:
                high = total - 1
            else:
                low = reached
            if high - low <= STEP * self.bound:
                break
            total = int(SECOND_TRY * self.bound) if total == self.bound else (low + high + 1) // 2
            total = min(max(total, low + 1), high)

    def _candidate(self, placement: Placement) -> int:
        """Keep a placement when it carries more than the best so far; what it carries."""
        routed = route(self.instance, placement)
        if routed.value > self.value:
            used = {node for link in routed.flows for node in link if node >= 0}
            self.value, self.flows = routed.value, routed.flows
            self.placement = {node: held for node, held in placement.items() if node in used}
        self.report(self.value, self.bound)
        return routed.value

    def _finish(self) -> None:
        exact = solve_exact(self.instance, self.placement, self.value, self.bound, self._left())
        self.bound = exact.bound
        if exact.placement is not None and exact.value >= self.value:
            self.value, self.placement, self.flows = exact.value, exact.placement, exact.flows
        self.report(self.value, self.bound)

    def _seen(self, value: int) -> None:
        self.report(max(self.value, value), self.bound)

    def _expired_for_bound(self, seconds: float) -> Callable[[], bool]:
        until = time.monotonic() + seconds
        return lambda: time.monotonic() >= until

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _expired(self) -> bool:
        return time.monotonic() >= self.deadline or (self.bounded and not self._open)

    @property
    def _open(self) -> bool:
        """Whether the gap is still wider than asked for."""
        return self.bound - self.value > self.gap * self.value


def _uneven(instance: ChainInstance, groups: Groups) -> bool:
    """Whether links between two groups have capacities of their own."""
    return any(
        len({instance.link[a][b] for a in one for b in other if a != b}) > 1
        for one in groups.members
        for other in groups.members
        if one is not other
    )
