"""The name of a serving engine, and what it takes where a person states nothing: the sequences that it runs at once, its token budgets.

What else stands in the engine's file of ``engines/data/profiles`` is read by ``engines.registry``.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from optimizer.facts.base import Count, CountOrZero, Facts
from optimizer.facts.engine_names import ENGINE_NAMES, PROFILES
from optimizer.facts.hardware import GpuFacts

if TYPE_CHECKING:
    Engine = str
else:
    Engine = Literal[ENGINE_NAMES]
"""Name of an engine, as problem files and options have it."""


class SequenceLimit(Facts):
    """Most sequences at once by default, on GPUs with enough memory that are not of certain names."""

    sequences: Count
    from_memory_mib: CountOrZero = 0
    not_named: tuple[str, ...] = ()

    def holds_for(self, gpu: GpuFacts) -> bool:
        """Whether a GPU is among those."""
        return gpu.memory_mib >= self.from_memory_mib and not any(name in gpu.name.lower() for name in self.not_named)


@cache
def profile_of(engine: str) -> dict[str, Any]:
    """The contents of an engine's file."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load((PROFILES / f"{engine}.yaml").read_bytes(), Loader=loader)
    return found


@cache
def _limits(engine: str) -> tuple[SequenceLimit, ...]:
    return tuple(SequenceLimit(**one) for one in profile_of(engine)["default_max_batch"])


def default_max_batch(engine: str, gpu: GpuFacts) -> int:
    """Most sequences that one replica runs at once when ``requirements.max_batch`` is left out: the first limit that holds."""
    return next(limit.sequences for limit in _limits(engine) if limit.holds_for(gpu))


def token_budgets(engine: str) -> tuple[int, ...]:
    """Prefill tokens of a step that an engine takes by itself on one GPU or another, ascending."""
    return tuple(profile_of(engine)["token_budgets"])
