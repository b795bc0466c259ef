"""What an engine takes of a GPU beside weights and cache, and what of it counts against its share of memory: data.

One file an engine in ``data/memory``, each figure with the logs or source files it was read from, and the interval these leave. How
the parts add up is for ``costs`` and, independently, ``verify``: ``docs/model.md``, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from optimizer.engines.kernels import ordered
from optimizer.facts.base import Count, CountOrZero, Facts, Positive
from optimizer.facts.hardware import ComputeCapability
from optimizer.facts.overhead import StatedOverhead

if TYPE_CHECKING:
    from optimizer.facts.hardware import GpuFacts
    from optimizer.facts.model import ModelFacts
    from optimizer.facts.problem import Problem

FOLDER = Path(__file__).parent / "data" / "memory"
Part = Literal["context", "communication", "non_torch", "cuda_graphs"]
SpecialAttention = Literal["compressed", "indexed"]


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
    context_mib: OverheadPart
    communication_mib: OverheadPart
    non_torch_mib: OverheadPart
    cuda_graphs_mib: OverheadPart
    source: str

    def holds_for(self, capability: str, version: str | None) -> bool:
        """Whether a GPU is among those; an entry without limits takes all, other makers' too. No version: the newest."""
        if self.since is not None and version is not None and ordered(version) < ordered(self.since):
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
    source: str


class StateBlocks(Facts):
    """How states of recurrent layers are kept in blocks beside the cache, and that none may lack one."""

    tokens: Count
    """A block's cache is of a multiple of so many tokens."""
    tokens_latent: Count
    """The same with latent attention."""


class MemoryVersion(Facts):
    """How versions from one on measure memory."""

    since: str
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
    attention: SpecialAttention | None = None,
) -> Overhead:
    """What an engine takes on a GPU.

    Args:
        capability: of the GPU, as ``GpuFacts.capability`` has it.
        version: of the engine; None: the newest that is known.
        stated: what was measured on the machine.
        attention: of a model whose kernels take workspaces of their own.
    """
    known = memory_of(engine)
    here = next(entry for entry in known.gpus if entry.holds_for(capability, version))
    newest = known.versions[-1]
    at = newest
    if version is not None:
        at = next(
            (one for one in reversed(known.versions) if ordered(one.since) <= ordered(version)), known.versions[0]
        )
    said = stated or StatedOverhead()

    def part(name: Part) -> OverheadPart:
        own = getattr(said, f"{name}_mib")
        found: OverheadPart = getattr(here, f"{name}_mib")
        if own is not None:
            return OverheadPart(value=own, low=own, high=own)
        more = [space for space in known.workspaces if space.attention == attention and name == "non_torch"]
        return _sum([found, *(space.mib for space in more)])

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
        _special(problem.model),
    )


def _special(model: ModelFacts) -> SpecialAttention | None:
    if model.compressed_attention:
        return "compressed"
    return "indexed" if any(kind.index_bytes_per_token for kind in model.kinds) else None


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
