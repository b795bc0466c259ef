"""What the GPUs in use cost and draw, by the hour and for a million output tokens that are served. Section 6.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from decimal import Decimal

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.arithmetic import decimal, exact


def bill_of(hardware: HardwareFacts, gpus: int, tokens_per_s: Decimal) -> dict[str, Decimal | None]:
    """Each figure by the name that the metrics have for it.

    Args:
        gpus: in use.
        tokens_per_s: output tokens at the demand that are served, failures counted.
    """
    seconds_of_a_million = Decimal(1_000_000) / tokens_per_s if tokens_per_s > 0 else None
    found: dict[str, Decimal | None] = {}
    price, watts = hardware.price_per_gpu_hour, hardware.gpu.tdp_watts
    for whole, of_a_million, rate in (
        ("price_per_hour", "price_per_million_output_tokens", None if price is None else exact(price)),
        ("kilowatts_at_most", "kwh_per_million_output_tokens_at_most", None if watts is None else exact(watts) / 1000),
    ):
        total = None if rate is None else decimal(rate * gpus)
        unknown = total is None or seconds_of_a_million is None
        found |= {
            whole: total,
            of_a_million: None if unknown else (total or 0) * (seconds_of_a_million or 0) / Decimal(3600),
        }
    return found
