"""Placing by heaps against the plain scan of every node for each instance."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.search.inventory import placing
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.placing import _Blocks
from optimizer.search.inventory.plan import Entry, Plan
from tests.inventory.generate import random_inventory, tight_inventory


class Scan(_Blocks):
    """The same question answered by looking at every block each time."""

    def emptiest(self) -> Sequence[int] | None:
        best: tuple[int, int] | None = None
        for start in range(0, len(self._members) - self._count + 1, self._count):
            block = self._members[start : start + self._count]
            if all(self._nodes[node].fits(self._each, self._tp) for node in block):
                key = (self._load(start), start)
                best = key if best is None else min(best, key)
        return None if best is None else self._members[best[1] : best[1] + self._count]


@pytest.mark.parametrize("seed", range(12))
def test_instances_stand_where_a_scan_of_every_node_puts_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = inventory_from_dict(random_inventory(seed) if seed % 2 else tight_inventory(seed))
    candidates = Candidates(problem, pairs=False)
    rng = random.Random(seed)
    every = [(place, at) for place in range(len(candidates.places)) for at in range(len(candidates.of_place(place)))]
    if not every:
        pytest.skip("nothing fits this inventory")
    plans = []
    for _ in range(25):
        chosen = sorted(rng.sample(every, min(len(every), rng.randint(1, 3))))
        plans.append(Plan(tuple(Entry(place, at, rng.randint(1, 3)) for place, at in chosen)))
    found = [placing.place(problem, candidates, plan) for plan in plans]
    monkeypatch.setattr(placing, "_Blocks", Scan)
    assert found == [placing.place(problem, candidates, plan) for plan in plans]
