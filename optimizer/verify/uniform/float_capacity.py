"""The most requests/s that a replica of each shape carries within every limit, in 64-bit floats: preset ``capacity``."""

from __future__ import annotations

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.float_cache import FloatCache
from optimizer.verify.common.float_load import loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.load import chain_length

HALVINGS = 48


def most_per_replica(problem: Problem, times: ShapeTimes, slots: Ints, caches: FloatCache) -> Floats:
    """Requests/s at one replica of each shape with so many sequences and its cache, (S,); 0 where nothing fits."""
    lines = np.arange(len(slots))
    n = np.arange(1, times.residence.shape[1] + 1)
    low = np.zeros(len(slots))
    high = (n * 1000 / times.residence).max(axis=1) * 1.01
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        load = loads(problem, times, lines, middle, chain_length(problem))
        good = ~load.overloaded & (load.n99 <= slots) & (slots >= 1) & (caches.short(load, lines) <= 0)
        for limit in problem.requirements.latency_limits:
            rule = limit.rule
            if rule not in problem.search.disabled_rules:
                good &= load.latency[rule] <= float(planned(problem.requirements, limit.limit_ms))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low


def capacity_tier(per_replica: Floats, replicas: Ints) -> Floats:
    """What preset ``capacity`` puts first: requests/s of all replicas in whole thousandths, negative."""
    result: Floats = -np.floor(per_replica * replicas * 1000 + 1e-6) / 1000
    return result
