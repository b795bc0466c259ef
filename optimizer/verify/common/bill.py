"""What the GPUs in use cost and draw, by the hour and for a million output tokens that are served. Section 6.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.inventory import NodeGroup
from optimizer.verify.common.arithmetic import decimal, exact

Used = Sequence[tuple[HardwareFacts | NodeGroup, int]]
"""Hardware and how many of its GPUs are in use."""


def bill_of(used: Used, tokens_per_s: Decimal) -> dict[str, Decimal | None]:
    """Each figure by the name that the metrics have for it; None where that of any GPU in use is not known.

    Args:
        tokens_per_s: output tokens at the demand that are served, failures counted.
    """
    seconds_of_a_million = Decimal(1_000_000) / tokens_per_s if tokens_per_s > 0 else None
    found: dict[str, Decimal | None] = {}
    prices = [(one.price_per_gpu_hour, gpus) for one, gpus in used]
    watts = [(one.gpu.tdp_watts, gpus) for one, gpus in used]
    for whole, of_a_million, total in (
        ("price_per_hour", "price_per_million_output_tokens", _sum(prices, 1)),
        ("kilowatts_at_most", "kwh_per_million_output_tokens_at_most", _sum(watts, 1000)),
    ):
        unknown = total is None or seconds_of_a_million is None
        found |= {
            whole: total,
            of_a_million: None if unknown else (total or 0) * (seconds_of_a_million or 0) / Decimal(3600),
        }
    return found


def _sum(of_each: Sequence[tuple[float | None, int]], unit: int) -> Decimal | None:
    """What all GPUs come to in a unit; None where it is not known of some."""
    known = [exact(one) * gpus / unit for one, gpus in of_each if one is not None]
    return decimal(sum(known)) if len(known) == len(of_each) else None
