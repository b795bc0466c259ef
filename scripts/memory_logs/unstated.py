"""Figures that a case does not say enough for: predicted all the same, they would compare a guess with the log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from optimizer.engines.kernels import ordered
from optimizer.facts.model import ModelFacts

OF_THE_SHARE = ("KV memory", "KV tokens", "derived overhead")
"""Quantities that follow from the engine's share of memory."""
MIXED = ("nvfp4", "int4")
"""Formats of 4 bits, in which publishers leave linear attention, towers, heads or none of them at 16 bits."""
FUSED_EXPERTS_FROM = "0.3"
"""vLLM release whose experts are the kernels that the activation peak is modelled on (pull request 2453)."""


def why_not(
    quantity: str, note: str, engine: str, version: str, model: ModelFacts, weights: str, named: Sequence[str]
) -> str | None:
    """Why a quantity cannot be told from what a case states; None: it can.

    Args:
        named: checkpoints of the catalog that the case names.
    """
    of_share = quantity.startswith(OF_THE_SHARE)
    if of_share and re.search(r"(?:util|utilisation|utilization|mem(?:ory)? fraction)[\w ]* not stated", note):
        return "the engine's share of memory is not stated, and the cache is what it leaves"
    if of_share and model.experts and engine == "vllm" and ordered(version) < ordered(FUSED_EXPERTS_FROM):
        return f"vLLM {version} ran experts one by one; the peak of that is not known"
    if (of_share or quantity.startswith("weights")) and weights in MIXED and not named and model.quantization is None:
        recurrent = any(kind.state_values_per_sequence for kind in model.kinds)
        if recurrent:
            left = ", and the cache is what the weights leave" if of_share else ""
            return (
                f"publishers leave different modules of this model out of {weights}, and no checkpoint is named{left}"
            )
    return None
