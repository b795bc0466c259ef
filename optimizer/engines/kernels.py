"""What an engine's kernels run on which GPU, and how they slice what is quantised: data, and what it means for a model.

One file an engine and version in ``data/kernels``, each figure with the source file or the issue it was read from. Here is only
what is known; whether a strategy keeps it is judged by the rules of the search and, independently, by the verifier.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from optimizer.facts.base import Count, Facts
from optimizer.facts.hardware import ComputeCapability, GpuFacts
from optimizer.facts.model import ModelFacts, Quantization

FOLDER = Path(__file__).parent / "data" / "kernels"
Module = Literal["attention", "mlp", "experts"]
_PROBES: dict[Module, tuple[str, ...]] = {
    "attention": ("model.layers.{}.self_attn.o_proj",),
    "mlp": ("model.layers.{}.mlp.down_proj", "model.layers.{}.mlp.shared_experts.down_proj"),
    "experts": ("model.layers.{}.mlp.experts.0.down_proj",),
}
"""Names that a linear layer of each family has in most checkpoints."""


class Support(Facts):
    """Where something runs. Nothing stated: nowhere."""

    cuda_from: ComputeCapability | None = None
    cuda_below: ComputeCapability | None = None
    """Newer GPUs run it no more."""
    rocm: tuple[str, ...] = ()
    gaudi: tuple[str, ...] = ()
    instead: tuple[str, ...] = ()
    """Formats to use where this one does not run, best first."""
    not_beside: tuple[str, ...] = ()
    """Weight formats of checkpoints beside which a cache of this format is refused."""
    source: str = ""

    def runs_on(self, capability: str) -> bool:
        """Whether a GPU of a compute capability (``8.6``, ``gfx942``, ``gaudi2``) is among those."""
        if capability.startswith("gfx"):
            return capability in self.rocm
        if capability.startswith("gaudi"):
            return capability in self.gaudi
        here = ordered(capability)
        if self.cuda_from is None or here < ordered(self.cuda_from):
            return False
        return self.cuda_below is None or here < ordered(self.cuda_below)


class SliceRule(Facts):
    """What the sliced dimensions of quantised layers have to be multiples of."""

    id: str
    holds: Literal["block", "group"]
    """Which statement of a checkpoint it follows from: ``weight_block`` or ``group_size``."""
    padded: tuple[str, ...] = ()
    """Weight formats that the engine pads."""
    modules: tuple[Module, ...]
    multiple_of: Literal["block", "group", "halved_group"]
    smallest_group: Count | None = None
    sentence: str
    repair: str
    source: str


class ExpertPadding(Facts):
    """How far an engine pads routed experts of a weight format when it loads them, on the GPUs that it holds for."""

    format: str
    gpus: Support
    hidden_multiple: Count
    width_multiple: Count
    """Of an expert's slice on one GPU."""
    before: str | None = None
    """Only versions of the engine before this one pad like this; None: all."""
    method: str | None = None
    """Only experts of checkpoints of this ``quant_method``; None: all."""
    held: tuple[Count, Count] = (1, 1)
    """Bytes that a group of an expert takes, and those that it has in the checkpoint."""
    source: str

    def holds_for(self, weight_format: str, gpu: GpuFacts, version: str | None, method: str | None) -> bool:
        """Whether an engine's version (None: the newest known) loads experts of a format like this on a GPU.

        Args:
            method: ``quant_method`` of the checkpoint whose experts these are; None: converted.
        """
        old = self.before is None or (version is not None and ordered(version) < ordered(self.before))
        same = self.format == weight_format and self.method in (None, method)
        return old and same and self.gpus.runs_on(gpu.capability)


class ContextParallel(Facts):
    """Where the ranks of a TP group may share the tokens of a sequence's cache (decode context parallelism)."""

    gpus: Support
    latent_caches: tuple[str, ...] = ()
    """Cache formats with multi-head latent attention."""
    head_caches: tuple[str, ...] = ()
    """Cache formats with grouped or multi-query attention."""
    source: str


class Kernels(Facts):
    """One version of one engine."""

    engine: str
    version: str
    gpus: Support
    gpus_source: str
    weights: dict[str, Support]
    methods: dict[str, Support]
    """What else a checkpoint of a ``quant_method`` needs, or only its weights of one format (``modelopt_fp8``) or its routed experts of
    one (``fp8_experts_fp8``);
    ``int8_activations``: one whose products are of 8-bit integers; ``fp8_blocks``: one whose fp8 weights have a scale a block."""
    caches: dict[str, Support]
    slices: tuple[SliceRule, ...]
    expert_padding: tuple[ExpertPadding, ...] = ()
    context_parallel: ContextParallel | None = None

    def padding_of(
        self, weight_format: str, gpu: GpuFacts, version: str | None = None, method: str | None = None
    ) -> ExpertPadding | None:
        """How experts of a format are loaded on a GPU where that takes more than they have; None: as they are.

        Args:
            version: of the engine; None: the newest that is known.
            method: ``quant_method`` of the checkpoint whose experts these are; None: converted.
        """
        return next((one for one in self.expert_padding if one.holds_for(weight_format, gpu, version, method)), None)

    def of_weights(self, weight_format: str, quantization: Quantization | None) -> tuple[Support, ...]:
        """All that has to hold for a weight format, that of the checkpoint or another.

        Args:
            quantization: of the checkpoint; None: not quantised.
        """
        found = [self.gpus, self.weights.get(weight_format, Support())]
        if quantization is not None and quantization.weight_format == weight_format:
            method = quantization.method.lower()
            # Layers of another format in the same checkpoint need their own kernels too.
            found += [self.weights.get(other, Support()) for other in quantization.other_formats]
            formats = (weight_format, *quantization.other_formats)
            names = [method, *(f"{method}_{name}" for name in formats)]
            names += ["int8_activations"] if quantization.activation_format == "int8" else []
            names += [f"{method}_experts_{quantization.expert_format}"] if quantization.expert_format else []
            names += ["fp8_blocks"] if "fp8" in formats and quantization.weight_block is not None else []
            found += [self.methods[name] for name in names if name in self.methods]
        return tuple(found)

    def of_caches(self, kv_format: str, quantization: Quantization | None) -> tuple[Support, ...]:
        """All that has to hold for a KV cache format.

        Args:
            quantization: of the checkpoint; None: not quantised.
        """
        own = self.caches.get(kv_format, Support())
        refused = quantization is not None and quantization.weight_format in own.not_beside
        return (self.gpus, own, Support(instead=own.instead)) if refused else (self.gpus, own)

    def runs_weights(self, weight_format: str, quantization: Quantization | None, gpu: GpuFacts) -> bool:
        """Whether the engine runs weights of a format on a GPU."""
        return all(support.runs_on(gpu.capability) for support in self.of_weights(weight_format, quantization))

    def runs_cache(self, kv_format: str, quantization: Quantization | None, gpu: GpuFacts) -> bool:
        """Whether the engine runs a KV cache of a format on a GPU."""
        return all(support.runs_on(gpu.capability) for support in self.of_caches(kv_format, quantization))

    def slices_of(self, model: ModelFacts) -> tuple[SliceRule, ...]:
        """The rules on slices that say something of a model's checkpoint."""
        stored = model.quantization
        if stored is None:
            return ()
        stated = {"block": stored.weight_block, "group": stored.group_size}
        return tuple(
            rule
            for rule in self.slices
            if stated[rule.holds] is not None
            and stored.weight_format not in rule.padded
            and set(rule.modules) & quantised_modules(model)
        )


@cache
def _files() -> dict[str, tuple[str, Path]]:
    """Newest version and file of every engine there is."""
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        engine, _, version = path.stem.rpartition("-")
        if engine not in found or ordered(version) > ordered(found[engine][0]):
            found[engine] = version, path
    return found


@cache
def ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


@cache
def kernels_of(engine: str) -> Kernels:
    """The newest version that is known of an engine.

    Raises:
        KeyError: no such engine.
    """
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Kernels.model_validate(yaml.load(_files()[engine][1].read_bytes(), Loader=loader))


@cache
def quantised_modules(model: ModelFacts) -> frozenset[Module]:
    """Families of linear layers that the checkpoint does not leave in 16 bit."""
    stored = model.quantization
    if stored is None:
        return frozenset()
    there: list[Module] = ["attention"]
    there += ["mlp"] if model.ffn_widths else []
    there += ["experts"] if model.experts else []
    return frozenset(module for module in there if not _ignored(stored.ignored, module, model.layers))


def _ignored(names: tuple[str, ...], module: Module, layers: int) -> bool:
    """Whether every layer of a family is among the modules that stay in 16 bit: first, middle and last are looked at."""
    probes = [probe.format(layer) for probe in _PROBES[module] for layer in {0, layers // 2, layers - 1}]
    return all(any(_names(name, probe) for name in names) for probe in probes)


def _names(name: str, probe: str) -> bool:
    """Whether an entry of an ignore list means a module: a regular expression after ``re:``, a glob, else a part of its name."""
    if name.startswith("re:"):
        try:
            return re.match(name[3:], probe) is not None
        except re.error:
            return False
    parts = [re.escape(part) for part in name.split("*")]
    return bool(name) and re.search(r"(^|\.)" + ".*".join(parts) + r"($|\.)", probe) is not None
