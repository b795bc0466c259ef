"""Flags of the serving engines, read from ``facts/data/engines``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import optimizer.facts

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = Path(optimizer.facts.__path__[0]) / "data" / "engines"
FILES = {"vllm": "vllm-0.32.0.yaml", "sglang": "sglang-0.5.23.yaml"}


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """What an engine's command line accepts; ``costly`` flags slow serving down, with the reason."""

    command: str
    version: str
    known: frozenset[str]
    choices: dict[str, tuple[str, ...]]
    costly: dict[str, str]

    def accepts(self, flag: str) -> bool:
        """Whether the parser takes a flag: by its name, with underscores, negated, as a JSON key or as a unique beginning."""
        name = "--" + flag[2:].split(".")[0].rstrip("+").replace("_", "-")
        plain = "--" + name[5:] if name.startswith("--no-") else name
        return (
            name in self.known
            or plain in self.known
            or any(known.startswith(name) for known in self.known if len(name) > 3)
        )

    def nearest(self, flag: str) -> str:
        """The known flag most like an unknown one; "" where none is near."""
        near = difflib.get_close_matches(flag.replace("_", "-"), sorted(self.known), n=1, cutoff=0.75)
        return near[0] if near else ""


@cache
def engine_flags(engine: str) -> EngineFlags:
    """Flags of ``vllm`` or ``sglang``."""
    with (FOLDER / FILES[engine]).open("rb") as stream:
        data: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return EngineFlags(
        data["command"],
        data["version"],
        frozenset([*data["flags"], *data["server_flags"]]),
        {flag: tuple(values) for flag, values in data["choices"].items()},
        data["costly"],
    )
