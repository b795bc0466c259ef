"""Flags of the serving engines' command lines, read from ``engines/data``: one file per engine and version."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.facts.errors import ProblemError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class EngineFlags:
    """What an engine's command line accepts; ``costly`` flags slow serving down, with the reason.

    ``environment`` names the environment variables that launch files use, with what each was read from.
    """

    command: str
    version: str
    known: frozenset[str]
    choices: dict[str, tuple[str, ...]]
    costly: dict[str, str]
    environment: dict[str, str]

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

    def refuse_unknown(self, arguments: Sequence[str], environment: Sequence[str]) -> None:
        """Stop before a launch file with a flag, a value or a variable that this version does not have is written.

        Raises:
            RuntimeError: a defect of whoever made the arguments, never of the input.
        """
        for place, word in enumerate(arguments):
            if not word.startswith("--"):
                continue
            if word not in self.known:
                raise RuntimeError(f"{word} is no flag of {self.command} {self.version}")
            allowed = self.choices.get(word)
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
            if allowed and value not in allowed:
                raise RuntimeError(f"{word} {value} is not one of {', '.join(allowed)}")
        for name in environment:
            if name not in self.environment:
                raise RuntimeError(f"{name} is no variable that {self.command} {self.version} is known to read")


def versions(engine: str) -> tuple[str, ...]:
    """Versions of an engine whose flags are known, oldest first."""
    found = (path.stem.removeprefix(f"{engine}-") for path in FOLDER.glob(f"{engine}-*.yaml"))
    return tuple(sorted(found, key=_order))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@cache
def engine_flags(engine: str, version: str | None = None) -> EngineFlags:
    """Flags of ``vllm`` or ``sglang``; the newest version that is known when none is named.

    Raises:
        ProblemError: the flags of this version are not known.
    """
    known = versions(engine)
    if version is not None and version.removeprefix("v") not in known:
        raise ProblemError(
            "--engine-version",
            f"the flags of {engine} {version} are not known here, and are not guessed; known: {', '.join(known)}",
        )
    chosen = version.removeprefix("v") if version is not None else known[-1]
    with (FOLDER / f"{engine}-{chosen}.yaml").open("rb") as stream:
        data: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return EngineFlags(
        data["command"],
        data["version"],
        frozenset([*data["flags"], *data["server_flags"]]),
        {flag: tuple(values) for flag, values in data["choices"].items()},
        data["costly"],
        data["environment"],
    )
