"""The serving engines there are. What differs between them is found here by name; nothing else asks which engine it is."""

from __future__ import annotations

from optimizer.engines.engine import ServingEngine
from optimizer.engines.sglang import SGLANG
from optimizer.engines.vllm import VLLM
from optimizer.facts.errors import ProblemError, closest

ENGINES: dict[str, ServingEngine] = {engine.id: engine for engine in (VLLM, SGLANG)}


def engine_of(name: str, field: str = "engine") -> ServingEngine:
    """The engine of this name.

    Raises:
        ProblemError: there is none; the message names the closest.
    """
    if name not in ENGINES:
        raise ProblemError(field, f"{name!r} is not known; {closest(name, ENGINES)}")
    return ENGINES[name]
