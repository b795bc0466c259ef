"""The engines' own routers for prefill and decode pools: ``data/routers.yaml``, read from their parsers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.facts.base import Facts
from optimizer.facts.errors import ProblemError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FILE = Path(__file__).parent / "data" / "routers.yaml"


class PoolRouter(Facts):
    """One router and what its command line takes."""

    package: str
    """Python package that holds it."""
    version: str
    """Of the package whose flags are known."""
    module: str
    """What ``python3 -m`` starts."""
    pools_flag: str
    """The flag that makes it a router of prefill and decode pools."""
    bootstrap: bool
    """Whether the address of a prefill instance is followed by the port at which decode instances find its cache."""
    choices: Mapping[str, tuple[str, ...]]
    """Flag → values that it takes, where not any."""
    flags: tuple[str, ...]
    """Every flag of its parser."""
    source: str
    """Where the flags were read."""

    def refuse_unknown(self, arguments: Sequence[str]) -> None:
        """Stop before a launch file with a flag or value that this version does not have is written.

        Raises:
            RuntimeError: a defect of whoever made the arguments, never of the input.
        """
        for place, word in enumerate(arguments):
            if not word.startswith("--"):
                continue
            if word not in self.flags:
                raise RuntimeError(f"{word} is no flag of {self.package} {self.version}")
            allowed = self.choices.get(word)
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
            if allowed and value not in allowed:
                raise RuntimeError(f"{word} {value} is not one of {', '.join(allowed)}")


@cache
def router_of_pools(engine: str) -> PoolRouter:
    """The router of an engine.

    Raises:
        ProblemError: none is known.
    """
    known = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=_Loader)
    if engine not in known:
        raise ProblemError("engine", f"no router of {engine} for prefill and decode pools is known; {', '.join(known)}")
    return PoolRouter.model_validate(known[engine], strict=False)
