"""The verifier's pools of parts on many groups: what cannot take all requests is not gone through."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import pytest

from optimizer.verify.pools import cluster_survey
from optimizer.verify.pools.cluster_survey import SHARES, PricedPart, _pools
from optimizer.verify.pools.site import PoolsSite
from tests.pools.clusters import cluster_with

GROUPS = 5


def part(group: int, parts: int, value: float) -> PricedPart:
    """A part of which only the group, the share and the value count."""
    made: Any = object()
    return PricedPart(group, parts, made, made, value, {}, (0.0, 0.0, 0.0), 1, 1.0, 0.0)


def test_parts_that_never_add_up_to_all_requests_are_not_gone_through() -> None:
    """Five groups that each take a tenth at most, in 200 ways: 200^5 ways to take a half, and no pool."""
    site = PoolsSite(cluster_with())
    parts = [part(group, 1, float(way)) for group in range(GROUPS) for way in range(200)]
    whole = [part(0, SHARES, 1.0)]
    assert _pools(site, parts, None, whole, None) == []
    assert _pools(site, whole, None, parts, None) == []


@pytest.mark.parametrize("bar", [None, 30.0, 21.0, 5.0])
def test_pools_that_reach_the_bar_are_all_found(bar: float | None) -> None:
    """Every choice of one part or none of each group, gone through without bounds."""
    site = PoolsSite(cluster_with())
    parts = [
        part(group, taken, float(3 * group + taken + way))
        for group in range(3)
        for taken in (2, 3, 5, 10)
        for way in (0, 4)
    ]
    other = [part(0, SHARES, 2.0)]
    by_group = [[one for one in parts if one.group == group] for group in range(3)]
    expected = {
        chosen
        for size in (1, 2, 3)
        for groups in combinations(by_group, size)
        for chosen in product(*groups)
        if sum(one.parts for one in chosen) == SHARES and (bar is None or sum(one.value for one in chosen) + 2.0 <= bar)
    }
    found = _pools(site, parts, bar, other, None if bar is None else 0.0)
    assert found is not None and {one.parts for one in found} == expected and len(found) == len(expected)


def test_too_many_pools_are_not_compared_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_survey, "MOST_POOLS", 10)
    parts = [part(group, 5, float(way)) for group in range(2) for way in range(4)]
    assert _pools(PoolsSite(cluster_with()), parts, None, [part(0, SHARES, 1.0)], None) is None
