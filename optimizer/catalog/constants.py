"""Constants of the cost model, read from ``data/constants.yaml`` where each has its source."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from optimizer.facts.base import Facts, NonNegative, Positive
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.text import sentence_of

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONSTANTS_FILE = Path(__file__).parent / "data" / "constants.yaml"

LatencyMetric = Literal["tpot", "ttft"]


class WeightBytes(Facts):
    """Bytes per parameter of a weight format, and the formats its matrix products may run in, best first."""

    linear: Positive
    """Of linear layers, scales included, bytes a parameter."""
    expert: Positive
    """Of experts, the same."""
    compute: tuple[str, ...]
    """Formats of the products, best first."""


class GenerationShares(Facts):
    """What kernels of a GPU generation reach, relative to Hopper's: memory bandwidth in 16 bit, and 16-bit FLOP rate."""

    bandwidth: Positive
    """Share of the memory bandwidth over Hopper's."""
    flops: Positive
    """Share of the 16-bit peak over Hopper's."""
    flops_4bit: Positive | None = None
    """The same of products in 4 bit; left out, as in 16 bit."""


class EngineConstants(Facts):
    """What differs between serving engines."""

    start_ms: NonNegative
    """From a request's arrival to its first step, ms."""
    admit_steps: NonNegative
    """Steps that it waits for besides its own, on average, the rest of the one under way among them."""
    admit_steps_before: dict[str, NonNegative] = Field(default_factory=dict)
    """The same of versions before another: that of the first named here which a stated version is before."""

    def of_version(self, version: str | None) -> EngineConstants:
        """The constants of a stated version; where none is stated, of today's."""
        if version is not None:
            for first, steps in sorted(self.admit_steps_before.items(), key=lambda item: _release(item[0])):
                if _release(version) < _release(first):
                    return self.model_copy(update={"admit_steps": steps})
        return self


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


class ClosedLoopConstants(Facts):
    """What differs between serving engines under a fixed number of concurrent requests (``costs/closed_loop.py``)."""

    bunching: Annotated[float, Field(ge=0, le=1)]
    """b: share of the other requests' prompts that a newcomer meets before its first token."""
    start_ms: NonNegative
    """t0: time to first token that depends on nothing else, ms."""
    steps: NonNegative
    """d: decode steps before the first token."""


class CostConstants(Facts):
    """Each under its name in ``docs/model.md``, section 3, which says where it stands."""

    eta_bw: Positive
    """ETA_BW: share of the memory bandwidth that weights of linear layers in 16 bit are read at."""
    eta_kv: Positive
    """ETA_KV: share of the memory bandwidth that the cache is read at."""
    eta_expert_bw: Positive
    """ETA_EXPERT_BW: share of the memory bandwidth that weights of experts are read at."""
    bandwidth_8bit: Positive
    """BANDWIDTH_8BIT: what 8-bit weights reach of the bandwidth of 16-bit ones."""
    bandwidth_4bit: Positive
    """BANDWIDTH_4BIT: what 4-bit weights reach of the bandwidth of 16-bit ones."""
    eta_decode_flops: Positive
    """ETA_DECODE_FLOPS: share of the peak FLOP rate in a decode step."""
    eta_expert_flops: Positive
    """ETA_EXPERT_FLOPS: the same of experts."""
    eta_prefill_flops: Positive
    """ETA_PREFILL_FLOPS: share of the peak FLOP rate in a prefill."""
    eta_prefill_expert_flops: Positive
    """ETA_PREFILL_EXPERT_FLOPS: the same of experts."""
    eta_prefill_attention: Positive
    """ETA_PREFILL_ATTENTION: share of the 16-bit peak that attention reaches in a prefill."""
    overlap: NonNegative
    """OVERLAP: share of the shorter of two times (memory, compute) that is not hidden behind the longer."""
    imbalance: NonNegative
    """IMBALANCE: how much longer the fullest expert rank works for each (EP − 1) / experts."""
    ar_factor: Positive
    """AR_FACTOR: time of an all-reduce over that of its bytes at the stated bandwidth."""
    t_layer: NonNegative
    """T_LAYER: launches of a layer in a decode step, ms."""
    t_tp: NonNegative
    """T_TP: what a layer takes more where TP is above 1, ms."""
    t_latent: NonNegative
    """T_LATENT: what a layer of latent attention launches more than one of grouped queries, ms."""
    t_indexer: NonNegative
    """T_INDEXER: what the indexer of a layer's sparse attention takes, ms."""
    t_expert: NonNegative
    """T_EXPERT: routing of an MoE layer for each of its experts, ms."""
    experts_half: Positive
    """EXPERTS_HALF: experts at which routing costs half of what each adds at first."""
    t_touched: NonNegative
    """T_TOUCHED: an expert that a step reads, ms."""
    speedup_8bit: Positive
    """SPEEDUP_8BIT: FLOP rate of 8-bit products over that of 16-bit ones."""
    speedup_4bit: Positive
    """SPEEDUP_4BIT: FLOP rate of 4-bit products over that of 16-bit ones."""
    t_step: NonNegative
    """T_STEP: scheduling of a step, ms."""
    t_sequence: NonNegative
    """T_SEQUENCE: scheduling and sampling of a sequence in a step, ms."""
    expert_width_half: NonNegative
    """EXPERT_WIDTH_HALF: width of an expert, in channels, at which its products reach half of the rate."""
    exchange_bytes: Positive
    """EXCHANGE_BYTES: bytes a value that experts are sent, there and back in the mean."""
    exchange_latency_us: NonNegative
    """EXCHANGE_LATENCY: start of an all-to-all, microseconds."""
    network_reduce_steps: Positive
    """NETWORK_REDUCE_STEPS: network latencies in each step of an all-reduce between nodes."""
    stage_wait: NonNegative
    """STAGE_WAIT: how much longer a round takes for each further pipeline stage, as a share."""
    pcie_latency_us: NonNegative
    """PCIE_LATENCY: one message between two GPUs over PCIe, microseconds."""
    generations: dict[str, GenerationShares]
    """GENERATION: shares of peak by GPU generation, relative to Hopper."""
    formats: dict[str, WeightBytes]
    """b_lin, b_exp: bytes a parameter by weight format, and what its products run in."""
    engines: dict[str, EngineConstants]
    """Constants of each serving engine."""

    def engine(self, name: str, version: str | None) -> EngineConstants:
        """The constants of an engine at a stated version."""
        return self.engines[name].of_version(version)


class LogErrors(Facts):
    """Quantiles of log(measured / predicted) on models left out of the fit."""

    p5: float
    """Its 5th percentile; 0: as predicted, negative: quicker."""
    p10: float
    """Its 10th percentile; 0: as predicted, negative: quicker."""
    p50: float
    """Its 50th percentile; 0: as predicted, negative: quicker."""
    p90: float
    """Its 90th percentile; 0: as predicted, negative: quicker."""
    p95: float
    """Its 95th percentile; 0: as predicted, negative: quicker."""


@cache
def _file() -> dict[str, Any]:
    with CONSTANTS_FILE.open("rb") as stream:
        values: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return values


_stated: dict[str, Any] = {}
"""What ``use_values`` read: ``values``, ``closed_loop`` and ``basis``; empty: the shipped constants."""
FIELDS = frozenset({"basis", "values", "closed_loop"})
"""Of a file that ``optimizer calibrate`` wrote."""


def use_values(found: Mapping[str, Any], path: str) -> None:
    """Use the constants of a file that ``optimizer calibrate`` wrote instead of the shipped ones, in this process.

    Args:
        found: what the file holds.
        path: its name, for messages.

    Raises:
        ProblemError: it states what is no constant or no number above zero.
    """
    if not isinstance(found.get("values"), dict):
        raise ProblemError(path, "holds no values; a file written by optimizer calibrate is needed")
    unknown = sorted(set(map(str, found)) - FIELDS)
    if unknown:
        raise ProblemError(
            f"{path}: {unknown[0]}", f"is no field of a file of constants; {closest(unknown[0], FIELDS)}"
        )
    basis = found.get("basis", "")
    if not isinstance(basis, str):
        raise ProblemError(f"{path}: basis", "has to be a text: what the constants were fitted to")
    try:
        sentence_of(basis)
    except ValueError as error:
        raise ProblemError(f"{path}: basis", str(error)) from None
    shipped = _file()["values"]
    for name, value in found["values"].items():
        if not isinstance(shipped.get(name), int | float):
            raise ProblemError(f"{path}: values.{name}", "is no constant of the cost model")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
            raise ProblemError(f"{path}: values.{name}", f"{value!r} is not a number above zero")
    _stated.clear()
    _stated.update(found)
    constants.cache_clear()
    try:
        constants()
    except ValidationError as error:
        raise ProblemError(path, error.errors()[0]["msg"]) from None


def stated_basis() -> str | None:
    """What the constants of ``use_values`` were fitted to; None: the shipped ones are used."""
    return str(_stated.get("basis", "a file of constants")) if _stated else None


@cache
def constants() -> CostConstants:
    """The constants that ship with the product, or those of ``use_values``."""
    return CostConstants.model_validate({**_file()["values"], **_stated.get("values", {})})


@cache
def closed_loop_constants() -> dict[str, ClosedLoopConstants]:
    """Closed-loop constants by engine; ``other`` is for engines that were not measured."""
    return {name: ClosedLoopConstants.model_validate(value) for name, value in _file()["closed_loop"].items()}


@cache
def plausible_constants() -> tuple[CostConstants, CostConstants]:
    """The constants with each at its best plausible value, and with each at its worst."""
    ends: dict[str, list[float]] = _file()["plausible"]
    best, worst = ({name: values[i] for name, values in ends.items()} for i in (0, 1))
    return constants().model_copy(update=best), constants().model_copy(update=worst)
