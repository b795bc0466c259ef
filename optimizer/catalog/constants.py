"""Constants of the cost model, read from ``data/constants.yaml`` where each has its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from optimizer.facts.base import Facts, NonNegative, Positive
from optimizer.facts.errors import ProblemError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CONSTANTS_FILE = Path(__file__).parent / "data" / "constants.yaml"

LatencyMetric = Literal["tpot", "ttft"]


class WeightBytes(Facts):
    """Bytes per parameter of a weight format, and the formats its matrix products may run in, best first."""

    linear: Positive
    expert: Positive
    compute: tuple[str, ...]


class GenerationShares(Facts):
    """What kernels of a GPU generation reach, relative to Hopper's: memory bandwidth in 16 bit, and 16-bit FLOP rate."""

    bandwidth: Positive
    flops: Positive


class EngineConstants(Facts):
    """What differs between serving engines."""

    start_ms: NonNegative
    admit_steps: NonNegative


class ClosedLoopConstants(Facts):
    """What differs between serving engines under a fixed number of concurrent requests (``costs/closed_loop.py``)."""

    bunching: Annotated[float, Field(ge=0, le=1)]
    """b: share of the other requests' prompts that a newcomer meets before its first token."""
    start_ms: NonNegative
    """t0: time to first token that depends on nothing else, ms."""
    steps: NonNegative
    """d: decode steps before the first token."""


class CostConstants(Facts):
    """Names and meaning: ``docs/model.md``; times in milliseconds, sizes in bytes, fractions of peak."""

    eta_bw: Positive
    eta_kv: Positive
    eta_expert_bw: Positive
    bandwidth_8bit: Positive
    bandwidth_4bit: Positive
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
    expert_width_half: NonNegative
    exchange_bytes: Positive
    exchange_latency_us: NonNegative
    network_reduce_steps: Positive
    stage_wait: NonNegative
    pcie_latency_us: NonNegative
    generations: dict[str, GenerationShares]
    formats: dict[str, WeightBytes]
    engines: dict[str, EngineConstants]


class LogErrors(Facts):
    """Quantiles of log(measured / predicted) on models left out of the fit."""

    p5: float
    p10: float
    p50: float
    p90: float
    p95: float


@cache
def _file() -> dict[str, Any]:
    with CONSTANTS_FILE.open("rb") as stream:
        values: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return values


_stated: dict[str, Any] = {}
"""What ``use_file`` read: ``values``, ``closed_loop`` and ``basis``; empty: the shipped constants."""
LARGEST_FILE = 1_000_000


def use_file(path: Path) -> None:
    """Use the constants of a file that ``optimizer calibrate`` wrote instead of the shipped ones, in this process.

    Raises:
        ProblemError: the file cannot be read, or states what is no constant or no number above zero.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ProblemError(str(path), "is too large for a file of constants")
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProblemError(str(path), f"cannot be read as YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict) or not isinstance(found.get("values"), dict):
        raise ProblemError(str(path), "holds no values; a file written by optimizer calibrate is needed")
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
        raise ProblemError(str(path), error.errors()[0]["msg"]) from None


def stated_basis() -> str | None:
    """What the constants of ``use_file`` were fitted to; None: the shipped ones are used."""
    return str(_stated.get("basis", "a file of constants")) if _stated else None


def use_shipped() -> None:
    """Undo ``use_file``."""
    _stated.clear()
    constants.cache_clear()


@cache
def constants() -> CostConstants:
    """The constants that ship with the product, or those of ``use_file``."""
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
