"""Which card of the catalog a driver's product name means."""

from __future__ import annotations

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts


def card_of(product: str) -> GpuFacts | None:
    """The card of a product name, which outputs print with or without the maker's; None: the catalog has no such card."""
    for name in (product, f"NVIDIA {product}"):
        try:
            return catalog.gpu(name)
        except ProblemError:
            continue
    return None
