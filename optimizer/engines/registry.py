"""The serving engines there are: those with a file in ``data/profiles``. What differs between them is found here by name."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from optimizer.engines.engine import ServingEngine
from optimizer.facts.engine import profile_of
from optimizer.facts.engine_names import ENGINE_NAMES
from optimizer.facts.errors import ProblemError, closest


def engine_of(name: str, field: str = "engine") -> ServingEngine:
    """The engine of this name.

    Raises:
        ProblemError: there is none; the message names the closest.
    """
    if name not in ENGINE_NAMES:
        raise ProblemError(field, f"{name!r} is not known; {closest(name, ENGINE_NAMES)}")
    return _engine(name)


@cache
def _engine(name: str) -> ServingEngine:
    apart = ("default_max_batch", "token_budgets")
    values: dict[str, Any] = {key: value for key, value in profile_of(name).items() if key not in apart}
    return ServingEngine(name, **values)


def measured_as(name: str) -> ServingEngine | None:
    """The engine of a measured run; None for one that the product does not know."""
    return _engine(name) if name in ENGINE_NAMES else None


def titled() -> str:
    """What people call the engines, for a sentence: ``SGLang, TensorRT-LLM or vLLM``."""
    *before, last = (engine_of(name).title for name in ENGINE_NAMES)
    return " or ".join((*((", ".join(before),) if before else ()), last))


def named(text: str) -> str:
    """The engine that a text in small letters means, by its name or one of its other names; the text itself where there is none."""
    return next((name for name in ENGINE_NAMES if text == name or text in engine_of(name).aliases), text)


def same_setting(flag: str, engine: str) -> str:
    """The flag by which an engine is told what another engine's flag says, e.g. ``--max_batch_size`` for ``--max-num-seqs``; or ""."""
    for other in ENGINE_NAMES:
        said = next((text for name, text in engine_of(other).carries.items() if name == flag), None)
        if said is not None and other != engine:
            what = re.split(r"[ ;]", said)[0]
            return next(
                (
                    name
                    for name, text in engine_of(engine).carries.items()
                    if re.split(r"[ ;]", text)[0] == what and name.startswith("--")
                ),
                "",
            )
    return ""
