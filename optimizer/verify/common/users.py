"""A closed loop of users: at which rate they ask, in exact arithmetic and for many rows in floats. Section 4.

    λ: the least multiple of 10⁻⁶ requests/s at one replica with λ · (T(λ) + think time) ≥ users at that replica

Written apart from ``costs``: by halving alone, between a rate that is too low and one at which each request would take no time
beyond what it takes alone. Callers of ``exact_rate`` work inside ``arithmetic.sixty_digits``.

Other home: ``costs/users.py``; docs/model.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.workload import Users
from optimizer.verify.common.arithmetic import decimal, exact

MICRO = 10**6
TIE = 1e-9
"""A number of users this near to the one wanted, in shares of it, is left to exact arithmetic."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def exact_rate(mean_ms: Callable[[Fraction], Decimal | None], users: Fraction, loop: Users) -> Fraction:
    """Requests/s at a replica with so many users.

    Args:
        mean_ms: mean time of a request at a rate, wait included; None where the replica is overloaded.
        users: of this replica, above 0.
    """
    pause, wanted = exact(loop.think_time_s), decimal(users)

    def enough(micro: int) -> bool:
        mean = mean_ms(Fraction(micro, MICRO))
        return mean is None or Decimal(micro) / MICRO * (mean / 1000 + decimal(pause)) >= wanted

    low, high = 0, 1
    while not enough(high):
        low, high = high, 4 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Fraction(high, MICRO)


def float_rates(mean_ms: Callable[[Floats], Floats], users: Floats, loop: Users) -> tuple[Floats, Bools]:
    """(requests/s at a replica, whether rounding may have moved it) of many rows, (Q,); infinite where there is no replica.

    Args:
        mean_ms: mean time of a request of every row at its rate; infinite where overloaded.
        users: of one replica of each row; infinite where none is left.
    """
    nowhere = np.isinf(users)
    wanted = np.where(nowhere, 1.0, users)

    def present(micro: Floats) -> Floats:
        rate = micro / MICRO
        found: Floats = rate * (mean_ms(rate) / 1000 + loop.think_time_s)
        return found

    alone = present(np.ones(len(users)))
    low = np.zeros(len(users))
    high = np.where(np.isfinite(alone), np.ceil(wanted / np.where(np.isfinite(alone), alone, 1.0)) + 1, 1.0)
    for _ in range(int(np.ceil(np.log2(max(2.0, high.max(initial=1.0))))) + 1):
        middle = np.floor((low + high) / 2)
        more = present(np.maximum(1.0, middle)) >= wanted
        inside = (middle > low) & (middle < high)
        high = np.where(inside & more, middle, high)
        low = np.where(inside & ~more, middle, low)
    near = [np.abs(present(np.maximum(1.0, at)) - wanted) <= TIE * wanted for at in (low, high)]
    return np.where(nowhere, np.inf, high / MICRO), ~nowhere & (near[0] | near[1])
