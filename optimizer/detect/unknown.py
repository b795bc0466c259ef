"""A card that the catalog does not have: an entry to complete, and the known card that is closest."""

from __future__ import annotations

import difflib
from typing import Any

from optimizer.catalog import lookup as catalog
from optimizer.catalog.spelling import spelling
from optimizer.detect.hardware import HostPart
from optimizer.facts.hardware import GpuFacts


def unknown_card(part: HostPart) -> dict[str, Any]:
    """What was seen of the card; None where only its datasheet tells."""
    return {
        "name": part.gpu,
        "memory_mib": part.memory_mib,
        "compute_capability": None,
        "memory_bandwidth_gb_per_s": None,
        "dense_tflops": {"fp16": None, "bf16": None},
        "gpus_per_node": part.gpus,
    }


def closest_card(part: HostPart) -> GpuFacts:
    """The card of the catalog that is called most alike; of equals, the one nearest in memory."""
    wanted = spelling(part.gpu).removeprefix("nvidia")
    cards = [catalog.gpu(name) for name in catalog.names("gpus")]

    def likeness(card: GpuFacts) -> tuple[float, int]:
        alike = difflib.SequenceMatcher(None, wanted, spelling(card.name)).ratio()
        return alike, -abs(card.memory_mib - part.memory_mib)

    return max(cards, key=likeness)


def hints(gpu: dict[str, Any], near: GpuFacts) -> dict[str, str]:
    """Line of the YAML that is to be completed → the closest card's figure, for a comment beside it."""
    found = {
        "compute_capability": near.capability,
        "memory_bandwidth_gb_per_s": f"{near.memory_bandwidth_gb_per_s:g}",
        "nvlink_gb_per_s": f"{near.nvlink_gb_per_s:g}",
        **{name: f"{near.dense_tflops.get(name, 'none')}" for name in gpu["dense_tflops"]},
    }
    return {field: f"{near.name} has {figure}" for field, figure in found.items()}
