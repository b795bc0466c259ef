"""From measured kernel times to the hardware entry of a problem file. No PyTorch here.

The entry's rates are chosen so that the cost model's formulas (docs/model.md, section 3) give back what was measured: the
model divides bytes by ETA_BW times the bandwidth, so the entry has the measured rate over ETA_BW. Matrix products are the exception:
ETA_PREFILL_FLOPS was fitted to whole servers and covers more than products, so their rate is divided by ``PRODUCT_SHARE``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import yaml

from optimizer.catalog.constants import constants
from optimizer.facts.file import HardwareInput

PRODUCT_SHARE = 0.75
"""Assumed share of a dense peak that large library products reach (usual on A100 and H100); the entry is peak-like."""
FEW_TOKENS, MANY_TOKENS = 16, 1024
NVLINK_GB_PER_S = 60.0
"""An all-reduce faster than this (bus bandwidth) does not run over PCIe 5.0 x16."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product of ``tokens`` × ``inner`` with ``inner`` × ``outer``."""

    format: str
    tokens: int
    inner: int
    outer: int
    bytes_per_value: int
    ms: float

    @property
    def weight_gb_per_s(self) -> float:
        """10^9 bytes of weights read per second."""
        return self.inner * self.outer * self.bytes_per_value / self.ms / 1e6

    @property
    def tflops(self) -> float:
        """10^12 FLOP/s."""
        return 2 * self.tokens * self.inner * self.outer / self.ms / 1e9


@dataclass(frozen=True, slots=True)
class AllReduce:
    """``size`` bytes summed over ``ranks`` GPUs."""

    ranks: int
    size: int
    ms: float

    @property
    def bus_gb_per_s(self) -> float:
        """2 (t − 1) / t · bytes / time, 10^9 bytes/s."""
        return 2 * (self.ranks - 1) / self.ranks * self.size / self.ms / 1e6


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything measured on one machine."""

    name: str
    memory_mib: int
    gpus: int
    products: tuple[Product, ...]
    copy_gb_per_s: float
    attention_gb_per_s: float
    launch_us: float
    all_reduces: tuple[AllReduce, ...] = ()


def hardware_entry(profile: Profile) -> dict[str, Any]:
    """The ``hardware`` section of a problem file.

    Raises:
        ValueError: no 16-bit product was measured, or a time is not positive.
    """
    c = constants()
    if any(not (math.isfinite(p.ms) and p.ms > 0) for p in (*profile.products, *profile.all_reduces)):
        raise ValueError("a measured time is not positive")
    few = [p.weight_gb_per_s for p in profile.products if p.tokens <= FEW_TOKENS and p.format in ("bf16", "fp16")]
    if not few:
        raise ValueError("no 16-bit product with few tokens was measured")
    gpu: dict[str, Any] = {
        "name": profile.name,
        "memory_mib": profile.memory_mib,
        "memory_bandwidth_gb_per_s": rounded(median(few) / c.eta_bw),
        "dense_tflops": {name: rounded(rate / PRODUCT_SHARE) for name, rate in _rates(profile.products).items()},
        "gpus_per_node": profile.gpus,
    }
    whole = [one for one in profile.all_reduces if one.ranks == profile.gpus]
    if whole:
        bus = max(one.bus_gb_per_s for one in whole)
        if bus > NVLINK_GB_PER_S:
            gpu |= {"nvlink_gb_per_s": rounded(2 * c.ar_factor * bus), "nvlink_domain_gpus": profile.gpus}
        else:
            gpu["pcie_gb_per_s"] = rounded(c.ar_factor * bus)
    entry = {"gpu": gpu, "nodes": 1}
    HardwareInput.model_validate(entry)
    return entry


def _rates(products: Sequence[Product]) -> dict[str, float]:
    """Best rate of each format over products with many tokens (all, where none has many)."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(p.format for p in products):
        mine = [p for p in products if p.format == name]
        found[name] = max(p.tflops for p in ([p for p in mine if p.tokens >= MANY_TOKENS] or mine))
    return found


def as_yaml(profile: Profile, date: str) -> str:
    """The section as text, what was measured beside it as comments."""
    rates = ", ".join(f"{name} {rate:.4g}" for name, rate in _rates(profile.products).items())
    said = [
        f"Measured by scripts/profile_gpu.py on {date}. Paste into a problem file; check against the data sheet.",
        f"copies {profile.copy_gb_per_s:.4g} GB/s, decode attention {profile.attention_gb_per_s:.4g} GB/s",
        f"large products, 10^12 FLOP/s: {rates} (the entry divides them by {PRODUCT_SHARE:g})",
        f"one kernel launch {profile.launch_us:.3g} us (not used: engines replay captured graphs)",
    ]
    said += [
        f"all-reduce of {one.size:,} bytes over {one.ranks} GPUs: {one.ms:.4g} ms, {one.bus_gb_per_s:.4g} GB/s"
        for one in profile.all_reduces
    ]
    if not profile.all_reduces:
        said.append(
            "links between GPUs were not measured: state nvlink_gb_per_s and nvlink_domain_gpus, or PCIe is assumed"
        )
    text = yaml.safe_dump({"hardware": hardware_entry(profile)}, sort_keys=False, allow_unicode=True)
    return "".join(f"# {line}\n" for line in said) + text


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
