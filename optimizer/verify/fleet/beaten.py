"""Shapes that another in the same places beats: ``docs/inventories.md``, section 6, leaves them out first.

They could be better only by being worse: the requests are split by their mean time, so that a slower instance leaves more of
them to the others, and less is lost when it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial

import numpy as np

from optimizer.verify.fleet.float_times import Curves
from optimizer.verify.fleet.offers import Offer
from optimizer.verify.fleet.rates import MILLION
from optimizer.verify.twin_times import Floats

_ROUNDING = 1e-12
_RATES = 64
"""Rates at which mean times are compared."""
_NEVER = 1e30
"""Milliseconds of what does not come back."""


def unbeaten(offers: Sequence[Offer], curves: Curves) -> list[Offer]:
    """Those than which no other in the same places carries as much and takes no longer at any rate, hence number in progress.

    Of equal ones one stays.
    """
    places: dict[Hashable, list[Offer]] = {}
    for offer in offers:
        one = offer.instance
        parts = zip(offer.groups, one.nodes, one.gpus_of_segments, strict=True)
        places.setdefault((offer.availability, tuple(sorted(parts))), []).append(offer)
    found: list[Offer] = []
    for together in places.values():
        kept = _front(together, partial(_residence, curves))  # quick, and leaves few for what follows
        top = max(one.slots_capacity for one in kept) / MILLION
        found += _front(kept, partial(_means, curves, np.geomspace(top / 1000, top, _RATES)))
    return found


def _front(offers: Iterable[Offer], costs: Callable[[Offer], Floats]) -> list[Offer]:
    """Those that no other is at most as large as in all of some costs and in what is carried, turned over."""
    front = np.zeros((0, 0))
    found: list[Offer] = []
    lines = []
    for offer in offers:
        carried = offer.slots, offer.capacity, offer.slots_capacity, offer.completes
        lines.append((np.append(costs(offer), 1 / np.array(carried)), offer))
    for line, offer in sorted(lines, key=lambda entry: float(entry[0].sum())):
        # One that beats it has no larger a sum, and stands before it.
        if not found or not (front <= line * (1 + _ROUNDING)).all(axis=1).any():
            front = np.vstack([front, line]) if found else line[None]
            found.append(offer)
    return found


def _residence(curves: Curves, offer: Offer) -> Floats:
    """R at every number in progress, and what a prompt takes: together they decide T at any rate."""
    times = curves.of(offer.instance).times
    whole = times.prompt_sum[0], times.prompt_max[0]
    return np.concatenate([times.residence[0], times.round[0], np.array(whole)])


def _means(curves: Curves, rates: Floats, offer: Offer) -> Floats:
    """T at some rates; beyond what its slots carry, longer than any."""
    within = rates <= offer.slots_capacity / MILLION
    found = np.full(len(rates), _NEVER)
    found[within] = np.minimum(_NEVER, curves.of(offer.instance).mean_ms(rates[within]))
    return found
