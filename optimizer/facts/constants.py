"""Constants of the cost model, read from ``data/constants.yaml`` where each has its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.facts.base import Facts, NonNegative, Positive

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WeightBytes(Facts):
    """Bytes per parameter of a weight format, and the formats its matrix products may run in, best first."""

    linear: Positive
    expert: Positive
    compute: tuple[str, ...]


class EngineConstants(Facts):
    """What differs between serving engines."""

    start_ms: NonNegative
    admit_steps: NonNegative


class CostConstants(Facts):
    """Names and meaning: ``docs/model.md``; times in milliseconds, sizes in bytes, fractions of peak."""

    eta_bw: Positive
    eta_kv: Positive
    eta_expert_bw: Positive
    eta_decode_flops: Positive
    eta_expert_flops: Positive
    eta_prefill_flops: Positive
    eta_prefill_expert_flops: Positive
    eta_prefill_attention: Positive
    overlap: NonNegative
    imbalance: NonNegative
    ar_factor: Positive
    t_layer: NonNegative
    t_tp: NonNegative
    t_expert: NonNegative
    experts_half: Positive
    t_touched: NonNegative
    speedup_8bit: Positive
    speedup_4bit: Positive
    t_step: NonNegative
    t_sequence: NonNegative
    pcie_latency_us: NonNegative
    logit_bytes: Positive
    comm_bytes: int
    engine_bytes: int
    formats: dict[str, WeightBytes]
    engines: dict[str, EngineConstants]


@cache
def constants() -> CostConstants:
    """The constants that ship with the product."""
    with (Path(__file__).parent / "data" / "constants.yaml").open("rb") as stream:
        values = yaml.load(stream, Loader=_Loader)
    return CostConstants.model_validate(values["values"])
