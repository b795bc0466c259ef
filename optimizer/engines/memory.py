"""What an engine takes of a GPU beside weights and cache, and what of it counts against its share of memory: data.

One file an engine in ``data/memory``, each figure with the logs or source files it was read from, and the interval these leave. How
the parts add up is for ``costs`` and, independently, ``verify``: ``docs/model.md``, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from optimizer.engines.kernels import ordered
from optimizer.facts.base import Count, CountOrZero, Facts, Positive
from optimizer.facts.hardware import MIB, ComputeCapability
from optimizer.facts.overhead import StatedOverhead

if TYPE_CHECKING:
    from optimizer.facts.hardware import GpuFacts
    from optimizer.facts.model import ModelFacts
    from optimizer.facts.problem import Problem

FOLDER = Path(__file__).parent / "data" / "memory"
Part = Literal["context", "communication", "non_torch", "cuda_graphs"]
SpecialAttention = Literal["compressed", "indexed"]
LARGEST_GRAPH = 512
"""Sequences of the largest batch that engines capture CUDA graphs for."""
FINE_GRAPHS = 256
"""Up to which they capture one for every 8 sequences."""


class OverheadPart(Facts):
    """MiB of one GPU: what is planned with, and the interval that logs leave."""

    value: CountOrZero
    low: CountOrZero
    high: CountOrZero


class OnGpus(Facts):
    """The parts on GPUs of some compute capabilities; the first entry that a GPU belongs to counts."""

    since: str | None = None
    """First version of the engine that the figures are of; None: any."""
    cuda_from: ComputeCapability | None = None
    cuda_below: ComputeCapability | None = None
    rocm: bool = False
    """Only AMD's."""
    context_mib: OverheadPart
    communication_mib: OverheadPart
    non_torch_mib: OverheadPart
    cuda_graphs_mib: OverheadPart
    graph_layers: Count | None = None
    """Layers of the model that ``cuda_graphs_mib`` is of, each having kernels in every graph; None: the same for all models."""
    source: str

    def holds_for(self, capability: str, version: str | None) -> bool:
        """Whether a GPU is among those; an entry without limits takes all, other makers' too. No version: the newest."""
        if self.since is not None and version is not None and ordered(version) < ordered(self.since):
            return False
        if self.rocm and not capability.startswith("gfx"):
            return False
        if self.cuda_from is None and self.cuda_below is None:
            return True
        if not capability[:1].isdigit():
            return False
        here = ordered(capability)
        from_ = self.cuda_from is None or here >= ordered(self.cuda_from)
        return from_ and (self.cuda_below is None or here < ordered(self.cuda_below))


class Workspaces(Facts):
    """What kernels of one kind of attention take beside that of other models, MiB of each GPU, where it is not measured."""

    attention: SpecialAttention
    """``compressed``: DeepSeek-V4's; ``indexed``: an indexer chooses what attention reads (DeepSeek-V3.2, GLM-5)."""
    mib: OverheadPart
    """Whatever the longest sequence."""
    longest_bytes: CountOrZero
    """For each token of the longest sequence."""
    graphs_mib: OverheadPart
    """CUDA graphs beyond other models', of as many layers as ``OnGpus.graph_layers`` has."""
    source: str


class StateBlocks(Facts):
    """How states of recurrent layers are kept in blocks beside the cache, and that none may lack one."""

    tokens: Count
    """A block's cache is of a multiple of so many tokens."""
    tokens_latent: Count
    """The same with latent attention."""


class ServedModels(Facts):
    """ServedModels that a version measures in a way of their own."""

    plain: bool = False
    """All without routed experts and without recurrent layers."""
    types: tuple[str, ...] = ()
    """And these, by the ``model_type`` of their config."""
    unquantised: bool = False
    """Of all these only checkpoints in 16 bits."""

    def hold(self, model: Served) -> bool:
        """Whether a model is among them."""
        if self.unquantised and model.quantised:
            return False
        return (self.plain and model.plain) or model.type in self.types


class MemoryVersion(Facts):
    """How versions from one on measure memory."""

    since: str
    models: ServedModels | None = None
    """Which models the entry is for; None: all that no later entry is for."""
    counts: tuple[Part, ...]
    """Parts that count against the engine's share of memory besides ``non_torch``; the others stand beside it."""
    stages_communicate: bool = True
    """Whether GPUs that only pass activations to the next stage hold the counted buffers of ``communication``."""
    keeps_expert_copies: bool = False
    """Whether what 8 and 16-bit experts work on stays while the profiling run samples."""
    sampling_bytes: Positive
    """Of one logit when the profiling run samples for all sequences at once."""
    rotary_bytes: Count = 2
    """Of one value of a table of rotary positions."""
    measures_device: bool = False
    """Whether it takes what the driver has given for weights, gaps between tensors with it, rather than what tensors hold."""
    samples_chunks: bool = True
    """Whether a profiling run of prompts in chunks samples at all."""
    steps_in_flight: Count = 1
    """Steps whose tokens a layer with a window holds beside its window, when one sequence has to fit."""
    refuses_above_free: bool = False
    """Whether the engine refuses to start where its share is more than what is free."""
    asks_whole_model: bool = False
    """Whether it asks each GPU for the cache that all stages of one longest sequence need together."""
    state_blocks: StateBlocks | None = None
    """Set: the engine refuses to start with more sequences than it has blocks for their states."""
    profiles_towers: bool = False
    """Whether the profiling run works on images or videos of the largest size before the language model runs."""
    source: str


class EngineMemory(Facts):
    """One engine."""

    engine: str
    gpus: tuple[OnGpus, ...]
    workspaces: tuple[Workspaces, ...] = ()
    versions: tuple[MemoryVersion, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What of a model and its context an engine's overhead depends on."""

    type: str
    """``model_type`` of its config."""
    plain: bool
    """Without routed experts and recurrent layers."""
    quantised: bool
    layers: int
    longest: int
    """Tokens of the longest sequence."""
    sequences: int
    """That the engine may run at once."""
    attention: SpecialAttention | None = None
    """Of a model whose kernels take workspaces of their own."""


ORDINARY = Served("", plain=False, quantised=False, layers=48, longest=0, sequences=1024)
"""A model of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """The parts for one engine, version and GPU, MiB, with what a person measured in place of the data's."""

    context: OverheadPart
    communication: OverheadPart
    non_torch: OverheadPart
    cuda_graphs: OverheadPart
    counts: frozenset[str]
    stages_communicate: bool
    keeps_expert_copies: bool
    sampling_bytes: float
    rotary_bytes: int
    measures_device: bool
    samples_chunks: bool
    steps_in_flight: int
    refuses_above_free: bool
    asks_whole_model: bool
    state_blocks: StateBlocks | None
    profiles_towers: bool
    activations_mib: int | None
    """Measured peak of activations and sampling; None: computed from the model."""
    measured: str | None
    """Where measured figures are from."""
    sources: tuple[str, ...]

    @property
    def counted(self) -> tuple[OverheadPart, ...]:
        """Parts that every GPU has and that count against the engine's share of memory."""
        return (self.non_torch, *(getattr(self, name) for name in ("context", "cuda_graphs") if name in self.counts))


@cache
def memory_of(engine: str) -> EngineMemory:
    """What is known of an engine.

    Raises:
        KeyError: no such engine.
    """
    path = FOLDER / f"{engine}.yaml"
    if not path.is_file():
        raise KeyError(engine)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    values = yaml.load(path.read_bytes(), Loader=loader)
    for version in values["versions"]:
        version["since"] = version.pop("from")
    return EngineMemory.model_validate(values)


@cache
def overhead_of(
    engine: str,
    capability: str,
    version: str | None = None,
    stated: StatedOverhead | None = None,
    model: Served = ORDINARY,
) -> Overhead:
    """What an engine takes on a GPU.

    Args:
        capability: of the GPU, as ``GpuFacts.capability`` has it.
        version: of the engine; None: the newest that is known.
        stated: what was measured on the machine.
    """
    known = memory_of(engine)
    here = next(entry for entry in known.gpus if entry.holds_for(capability, version))
    own = [one for one in known.versions if one.models is None or one.models.hold(model)]
    at = own[-1]
    if version is not None:
        at = next((one for one in reversed(own) if ordered(one.since) <= ordered(version)), own[0])
    said = stated or StatedOverhead()
    kernels = next((space for space in known.workspaces if space.attention == model.attention), None)

    def part(name: Part) -> OverheadPart:
        own = getattr(said, f"{name}_mib")
        found: OverheadPart = getattr(here, f"{name}_mib")
        if own is not None:
            return OverheadPart(value=own, low=own, high=own)
        if name == "non_torch" and kernels is not None and not here.rocm:
            found = _sum([found, kernels.mib, _exactly(-(-model.longest * kernels.longest_bytes // MIB))])
        if name == "cuda_graphs" and here.graph_layers is not None:
            found = _sum([found, kernels.graphs_mib] if kernels is not None else [found])
            share = Fraction(
                model.layers * graph_sizes(model.sequences), here.graph_layers * graph_sizes(LARGEST_GRAPH)
            )
            found = _scaled(found, share)
        return found

    return Overhead(
        context=part("context"),
        communication=part("communication"),
        non_torch=part("non_torch"),
        cuda_graphs=part("cuda_graphs"),
        counts=frozenset(at.counts),
        stages_communicate=at.stages_communicate,
        keeps_expert_copies=at.keeps_expert_copies,
        sampling_bytes=at.sampling_bytes,
        rotary_bytes=at.rotary_bytes,
        measures_device=at.measures_device,
        samples_chunks=at.samples_chunks,
        steps_in_flight=at.steps_in_flight,
        refuses_above_free=at.refuses_above_free,
        asks_whole_model=at.asks_whole_model,
        state_blocks=at.state_blocks,
        profiles_towers=at.profiles_towers,
        activations_mib=said.activations_mib,
        measured=said.measured or ("stated in the problem" if said.anything else None),
        sources=(here.source, at.source),
    )


def overhead_on(problem: Problem, gpu: GpuFacts | None = None) -> Overhead:
    """What a problem's engine takes with its model on its GPU, or on another."""
    return overhead_of(
        problem.engine,
        (gpu or problem.hardware.gpu).capability,
        problem.engine_version,
        problem.engine_overhead,
        served(problem),
    )


def graph_sizes(sequences: int) -> int:
    """Batches that an engine captures CUDA graphs for: up to twice the sequences it may run, 1, 2, 4, in steps of 8 to 256 and of 16 to 512
    (``vllm/config/vllm.py``, ``_set_cudagraph_sizes``)."""
    largest = min(2 * sequences, LARGEST_GRAPH)
    first = sum(size <= largest for size in (1, 2, 4))
    return first + min(largest, FINE_GRAPHS) // 8 + max(0, largest - FINE_GRAPHS) // 16


def served(problem: Problem) -> Served:
    """What of a problem decides the overhead."""
    model = problem.model
    free = "max_batch" in problem.search.disabled_rules
    recurrent = any(kind.state_values_per_sequence for kind in model.kinds)
    return Served(
        type=model.architecture.partition("(")[2].rstrip(")"),
        plain=not model.experts and not recurrent,
        quantised=model.quantization is not None,
        layers=model.layers,
        longest=problem.max_sequence_tokens,
        sequences=LARGEST_GRAPH if free else problem.max_batch,
        attention=_special(model),
    )


def _special(model: ModelFacts) -> SpecialAttention | None:
    if model.compressed_attention:
        return "compressed"
    # Of kernels of latent attention: MiniMax-M3's indexer stands beside grouped heads and keeps none of their buffers.
    return "indexed" if any(kind.index_bytes_per_token and kind.latent for kind in model.kinds) else None


def state_blocks_of(problem: Problem) -> StateBlocks | None:
    """How the engine keeps states in blocks, of which each sequence needs one; None: no recurrent layer, no blocks, or no such engine."""
    recurrent = any(kind.state_values_per_sequence for kind in problem.model.kinds)
    return overhead_on(problem).state_blocks if recurrent and problem.paged else None


def _sum(parts: list[OverheadPart]) -> OverheadPart:
    return OverheadPart(
        value=sum(part.value for part in parts),
        low=sum(part.low for part in parts),
        high=sum(part.high for part in parts),
    )


def _exactly(mib: int) -> OverheadPart:
    return OverheadPart(value=mib, low=mib, high=mib)


def _scaled(part: OverheadPart, share: Fraction) -> OverheadPart:
    """So many times as large, rounded up to whole MiB."""
    value, low, high = (ceil(figure * share) for figure in (part.value, part.low, part.high))
    return OverheadPart(value=value, low=low, high=high)
