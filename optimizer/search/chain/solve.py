"""The chain search: bound, lanes of blocks by bisection on the total, and the exact model where the case is small."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optimizer.search.chain.bound import Certificate, upper_bound
from optimizer.search.chain.exact import fits, solve_exact
from optimizer.search.chain.flow import Flows, route
from optimizer.search.chain.groups import Groups, as_one, grouped
from optimizer.search.chain.improve import improve
from optimizer.search.chain.instance import Instance, Placement
from optimizer.search.chain.lanes import find_lanes
from optimizer.search.chain.place import place

SHARES = ((1.0,), (0.5, 0.5), (0.6, 0.4))
"""Shares of the total that lanes carry: one lane, then two."""
STEP = 0.0005
"""Bisection on the total stops when the untried range is this share of the bound."""
SECOND_TRY = 0.97
"""The share of the bound that is tried after the bound itself."""

Report = Callable[[int, int], None]


@dataclass(slots=True)
class Search:
    """State of one search; values in thousandths of a token per second."""

    instance: Instance
    deadline: float
    report: Report
    certificate: Certificate = field(default_factory=lambda: Certificate(0, ()))
    bound: int = 0
    value: int = 0
    placement: Placement = field(default_factory=dict)
    flows: Flows = field(default_factory=dict)
    finished: bool = True
    """False where the time limit cut the construction short."""

    def run(self) -> None:
        """Search until the value meets the bound, every method is through, or the deadline passes."""
        self.certificate = upper_bound(self.instance, self._expired)
        self.bound = self.certificate.bound
        if self.bound == 0:
            return
        groups = grouped(self.instance, self.bound)
        for shares in SHARES if len(groups.members) > 1 else SHARES[:1]:
            self._bisect(groups, shares)
        if self.value < self.bound and len(groups.members) > 1:
            self._bisect(as_one(self.instance), (1.0,), rounds=3)
            self._offer(improve(self.instance, self.placement, self._expired, self._seen))
        if self.value < self.bound and fits(self.instance) and not self._expired():
            self._finish()
        self.finished = self.value == self.bound or not self._expired()

    def _bisect(self, groups: Groups, shares: tuple[float, ...], rounds: int = 60) -> None:
        """The largest total for which lanes with these shares are found; the bound itself is tried first."""
        low, high, total = self.value, self.bound, self.bound
        while low < high and rounds and not self._expired():
            rounds -= 1
            lanes = find_lanes(self.instance, groups, tuple(int(total * share) for share in shares), self._expired)
            if lanes is None:
                high = total - 1
            else:
                self._offer(place(self.instance, groups, lanes))
                low = max(total, self.value)
            if high - low <= STEP * self.bound:
                break
            total = int(SECOND_TRY * self.bound) if total == self.bound else (low + high + 1) // 2
            total = min(max(total, low + 1), high)

    def _offer(self, placement: Placement) -> None:
        """Keep a placement when it carries more than the best so far."""
        routed = route(self.instance, placement)
        if routed.value > self.value:
            used = {node for link in routed.flows for node in link if node >= 0}
            self.value, self.flows = routed.value, routed.flows
            self.placement = {node: held for node, held in placement.items() if node in used}
        self.report(self.value, self.bound)

    def _finish(self) -> None:
        exact = solve_exact(self.instance, self.placement, self.value, self.bound, self.deadline - time.monotonic())
        self.bound = exact.bound
        if exact.placement is not None and exact.value >= self.value:
            self.value, self.placement, self.flows = exact.value, exact.placement, exact.flows
        self.report(self.value, self.bound)

    def _seen(self, value: int) -> None:
        self.report(max(self.value, value), self.bound)

    def _expired(self) -> bool:
        return time.monotonic() >= self.deadline
