"""The serving engines there are: those with a file in ``data/profiles``. What differs between them is found here by name."""

from __future__ import annotations

from functools import cache

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
    values = {
        key: value for key, value in profile_of(name).items() if key not in ("default_max_batch", "token_budgets")
    }
    return ServingEngine(name, **values)
