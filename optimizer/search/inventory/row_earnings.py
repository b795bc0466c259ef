"""Whether rows of a table may earn more than so much, by their mean times at some rates: before anybody looks for what they carry.

The bound is that of ``curves``: between two rates Γ is at most the upper one times what γ leaves above the mean time at the lower one,
for mean times only grow with the rate. It is refined until it decides, not until it is fine.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.search.inventory.tables import InstanceTable

_FIRST_CELLS, _WORST, _PARTS, _ROUNDS = 16, 3, 6, 5
_ROUNDING = 1 + 1e-9


def may_earn_more(table: InstanceTable, rows: Ints, gamma: float, limit: Floats) -> Bools:
    """Rows whose Γ(γ) is not known to be at most a limit, (Q,).

    Args:
        gamma: ms per further request/s.
        limit: (Q,) requests/s · ms.
    """
    found: Bools = np.ones(len(rows), dtype=np.bool_)
    at = np.flatnonzero(limit > 0)
    top = table.most_per_s(rows[at])
    rates = top[:, None] * np.linspace(0, 1, _FIRST_CELLS + 1)
    asked = rates.copy()
    asked[:, 0] = 1e-6 * top
    means = _means(table, rows[at], asked)
    for round_ in range(_ROUNDS):
        spare = gamma - means
        cells = rates[:, 1:] * spare[:, :-1]
        within = cells.max(axis=1, initial=0.0) * _ROUNDING <= limit[at]
        found[at[within]] = False
        still = np.flatnonzero(~within & ((rates * spare).max(axis=1, initial=0.0) < limit[at]))
        if not len(still) or round_ == _ROUNDS - 1:
            break
        at, rates, means = at[still], rates[still], means[still]
        worst = np.argpartition(-cells[still], _WORST, axis=1)[:, :_WORST]
        low, high = (np.take_along_axis(rates, worst + end, axis=1) for end in (0, 1))
        more = (low[:, :, None] + (high - low)[:, :, None] * (np.arange(1, _PARTS) / _PARTS)).reshape(len(at), -1)
        rates, means = np.hstack([rates, more]), np.hstack([means, _means(table, rows[at], more)])
        order = np.argsort(rates, axis=1, kind="stable")
        rates, means = np.take_along_axis(rates, order, axis=1), np.take_along_axis(means, order, axis=1)
        # Rounding noise must not make T shrink.
        means = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    return found


def _means(table: InstanceTable, rows: Ints, rates: Floats) -> Floats:
    load = table.load(np.repeat(rows, rates.shape[1]), rates.ravel(), everything=False)
    result: Floats = load.mean_ms.reshape(rates.shape)
    return result
