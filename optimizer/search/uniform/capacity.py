"""The most requests/s that rows carry within every limit that is on: the first tier of preset ``capacity``.

Whatever a load is made of grows with the rate (``costs.load``; but for the overlap of prompts in a pipeline, for which the
rate found is one that is carried while the next step is not), so the largest rate is found by halving.
"""

from __future__ import annotations

import math

import numpy as np

from optimizer.costs.load import LoadPoints
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.search.common.scale import limit_ns, time_ns
from optimizer.search.uniform.quantities import Quantities

RATE_STEP_PER_S = 0.001
HALVINGS = 34
_SECTIONS, _FEW = 16, 8


def carried_rates(quantities: Quantities, rows: Ints, slots: Ints) -> tuple[Ints, Ints]:
    """(largest rate in steps of ``RATE_STEP_PER_S``, fewest sequences that carry it) of some rows with their sequences.

    Args:
        rows: (Q,) of the space.
        slots: (Q,) sequences per replica.
    """
    shape, engines, ranks = quantities.space.row_shape[rows], quantities.space.instances[rows], quantities.ranks[rows]
    replicas = (engines * ranks).astype(np.float64)  # of whole engines, as every load counts them
    needed = np.ones(len(rows), dtype=np.int64)
    # What one replica carries is the same for all rows of a shape; of a row only the last steps are left to be tried.
    near = (_per_replica(quantities, shape, slots) * replicas / RATE_STEP_PER_S).astype(np.int64)
    low, high = np.maximum(0, near - 2), near + 3
    while len(wide := np.flatnonzero(high - low > 1)):
        middle = (low[wide] + high[wide]) // 2
        load = quantities.load_of(shape[wide], middle * RATE_STEP_PER_S / replicas[wide])
        good = _within(quantities, load) & (quantities.slots_needed_for(load, shape[wide]) <= slots[wide])
        low[wide], high[wide] = np.where(good, middle, low[wide]), np.where(good, high[wide], middle)
        needed[wide] = np.where(good, load.n99, needed[wide])
    return low, needed


def _per_replica(quantities: Quantities, shape: Ints, slots: Ints) -> Floats:
    """Requests/s that one replica carries with so many sequences, to 9 digits, (Q,); each pair once for a problem."""
    known = quantities.carried_per_replica
    pairs = list(zip(shape.tolist(), slots.tolist(), strict=True))
    new = [pair for pair in dict.fromkeys(pairs) if pair not in known]
    if new:
        of_shape, of_slots = np.array(new, dtype=np.int64).T
        low, high = np.zeros(len(new)), quantities.completion_per_s[of_shape, -1] * 1.01
        # Few pairs: many rates at once, for each round costs the same; many pairs: halving.
        sections = _SECTIONS if len(new) <= _FEW else 2
        for _ in range(math.ceil(HALVINGS / math.log2(sections))):
            rates = low[:, None] + (high - low)[:, None] * np.arange(1, sections) / sections
            at, slots_at = np.repeat(of_shape, sections - 1), np.repeat(of_slots, sections - 1)
            load = quantities.load_of(at, rates.ravel())
            good = _within(quantities, load) & (quantities.slots_needed_for(load, at) <= slots_at)
            held = np.cumprod(good.reshape(rates.shape), axis=1).sum(axis=1)
            ends = np.concatenate([low[:, None], rates, high[:, None]], axis=1)
            line = np.arange(len(new))
            low, high = ends[line, held], ends[line, held + 1]
        known.update(zip(new, low.tolist(), strict=True))
    return np.array([known[pair] for pair in pairs])


def _within(quantities: Quantities, load: LoadPoints) -> Bools:
    """Whether every latency limit that is on holds."""
    wanted, off = quantities.problem.requirements, quantities.problem.search.disabled_rules
    good: Bools = np.ones(len(load.n99), dtype=np.bool_)
    for limit in wanted.latency_limits:
        name = limit.rule
        if name not in off:
            values: Floats = load.metric(name)
            good &= time_ns(values) <= limit_ns(limit.limit_ms, wanted.margin)
    return good


def capacity(quantities: Quantities, most: Ints) -> tuple[Ints, Ints]:
    """The same for every row with the most sequences it may run, (R,) each; 0 where it does not carry the demand."""
    steps, fewest = np.zeros(quantities.space.rows, dtype=np.int64), np.ones(quantities.space.rows, dtype=np.int64)
    carrying = np.flatnonzero((most >= 1) & (quantities.slots_to_carry[0] <= most))
    if len(carrying):
        steps[carrying], fewest[carrying] = carried_rates(quantities, carrying, most[carrying])
    return steps, fewest
