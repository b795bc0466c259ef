"""Where the model was measured and how well: residual summaries of measured runs by stratum, from ``data/accuracy.yaml``.

A stratum is what runs have in common that decides how well they are predicted. Some of it has to agree for a run to say
anything of an answer (``HARD``: dense or routed, where the GPUs of a replica stand, stages, coupled ranks, attention, whose GPUs); the
rest (``SOFT``: generation, bits of the weights, engine) is given up one by one, last first, until enough runs are left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog.constants import LogErrors

ACCURACY_FILE = Path(__file__).parent / "data" / "accuracy.yaml"
FEWEST_RUNS = 15
"""Runs below which quantiles say nothing."""


@dataclass(frozen=True, slots=True)
class Features:
    """What decides how well a run is predicted."""

    model: str
    """dense or MoE."""
    place: str
    """Where the GPUs of a replica stand: one GPU, NVLink, PCIe, stages over nodes, or a TP or EP group over nodes."""
    stages: str
    """one or several."""
    ranks: str
    """Coupled data-parallel ranks: 1, 2 to 8, or more."""
    attention: str
    """GQA, MLA, or hybrid (recurrent or compressed layers)."""
    maker: str = ""
    """Of the GPU, where it is not NVIDIA: whose kernels and links no run tells anything of."""
    generation: str = ""
    bits: str = ""
    engine: str = ""

    def kept(self, soft: int) -> Features:
        """The same with only the first so many soft features."""
        return Features(**{f.name: getattr(self, f.name) for f in fields(self) if f.name not in SOFT[soft:]})


HARD = ("model", "place", "stages", "ranks", "attention", "maker")
SOFT = ("generation", "bits", "engine")


@dataclass(frozen=True, slots=True)
class Stratum:
    """Residuals of the runs of one stratum, each predicted by constants fitted without its model, or without its GPU."""

    features: Features
    runs: int
    models: tuple[str, ...]
    throughput_only: bool
    """No latency was measured: tpot is that of tokens per second at full load."""
    tpot: LogErrors | None
    ttft: LogErrors | None
    tpot_percent: tuple[float, float, float] | None
    """Median, mean and 90th percentile of the absolute error, models left out."""
    ttft_percent: tuple[float, float, float] | None
    coverage: tuple[float | None, float | None]
    """Percent of the runs of a model inside the 90 % interval that the stratum's other models give: TPOT, TTFT."""
    full_load: LogErrors | None = None
    """Of time per token at full load, where runs of output tokens per second stand beside those of latencies."""


@cache
def strata() -> tuple[Stratum, ...]:
    """Every stratum, at every level of detail."""
    with ACCURACY_FILE.open("rb") as stream:
        data: dict[str, Any] = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return tuple(_stratum(entry) for entry in data["strata"])


def _stratum(entry: dict[str, Any]) -> Stratum:
    def errors(name: str) -> LogErrors | None:
        values = entry.get(name)
        return LogErrors(**dict(zip(("p5", "p10", "p50", "p90", "p95"), values, strict=True))) if values else None

    def percent(name: str) -> tuple[float, float, float] | None:
        values = entry.get(name)
        return (values[0], values[1], values[2]) if values else None

    return Stratum(
        features=Features(**{name: str(value) for name, value in entry["like"].items()}),
        runs=entry["runs"],
        models=tuple(entry["models"]),
        throughput_only=entry.get("throughput_only", False),
        tpot=errors("tpot"),
        ttft=errors("ttft"),
        tpot_percent=percent("tpot_percent"),
        ttft_percent=percent("ttft_percent"),
        coverage=(entry.get("tpot_coverage"), entry.get("ttft_coverage")),
        full_load=errors("full_load"),
    )


def words_of(features: Features) -> str:
    """A stratum for people, e.g. ``MoE, GQA, NVLink, hopper, 8 bit, vllm``."""
    said = [features.model, features.attention, features.place, features.maker]
    if features.stages == "several":
        said.append("several stages")
    if features.ranks != "1":
        said.append(f"{features.ranks} coupled ranks")
    said += [features.generation, f"{features.bits} bit" if features.bits else "", features.engine]
    return ", ".join(word for word in said if word)


def like(features: Features) -> Stratum | None:
    """The most detailed stratum that an answer belongs to and that has enough runs; None: nothing like it was measured."""
    return next((stratum for stratum in _like(features) if stratum.runs >= FEWEST_RUNS), None)


def full_load(features: Features) -> LogErrors | None:
    """Residuals of time per token at full load, of the most detailed stratum that has any; None: nothing like it was measured."""
    found = (one.tpot if one.throughput_only else one.full_load for one in _like(features))
    return next((errors for errors in found if errors), None)


def _like(features: Features) -> Iterator[Stratum]:
    """The strata that an answer belongs to, the most detailed first."""
    known = {stratum.features: stratum for stratum in strata()}
    for soft in range(len(SOFT), -1, -1):
        found = known.get(features.kept(soft))
        if found is not None:
            yield found
