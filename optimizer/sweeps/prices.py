"""A price file: what one GPU costs per hour, by catalog name, each with where the figure is from.

    h100-sxm-80gb: 2.99
    a100-sxm-80gb: {price_per_gpu_hour: 1.79, source: "quote of 2026-11-02"}

The product ships no prices: they change by the week and by the customer.
"""

from __future__ import annotations

import math
from pathlib import Path

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.reading.files import read_mapping


def load_prices(path: str | Path) -> dict[str, float]:
    """Price per GPU and hour by the GPU's catalog name.

    Raises:
        ProblemError: not readable, an unknown GPU, or no price.
    """
    found = {}
    for name, stated in read_mapping(Path(path), str(path)).items():
        price = stated.get("price_per_gpu_hour") if isinstance(stated, dict) else stated
        if isinstance(price, bool) or not isinstance(price, int | float) or not (math.isfinite(price) and price >= 0):
            raise ProblemError(f"{path}: {name}", f"{stated!r} is no price; a number per GPU and hour, from 0")
        found[catalog.gpu(str(name), field=str(path)).name] = float(price)
    return found
