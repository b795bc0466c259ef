"""Flags of the serving engines' command lines, read from ``engines/data``: one file per engine and version."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
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
    settings: frozenset[str] = frozenset()
    """Names at the top of the file of settings that it reads; none where it reads none."""

    def accepts(self, flag: str) -> bool:
        """Whether the parser takes a flag: by its name, with underscores, negated, as a JSON key or as a unique beginning."""
        name = "--" + flag[2:].split(".")[0].rstrip("+").replace("_", "-")
        plain = "--" + name[5:] if name.startswith("--no-") else name
        known = {one.replace("_", "-") for one in self.known}
        return name in known or plain in known or any(one.startswith(name) for one in known if len(name) > 3)

    def nearest(self, flag: str) -> str:
        """The known flag most like an unknown one; "" where none is near."""
        spelled = {one.replace("_", "-"): one for one in sorted(self.known)}
        near = difflib.get_close_matches(flag.replace("_", "-"), list(spelled), n=1, cutoff=0.75)
        return spelled[near[0]] if near else ""

    def refuse_unknown(
        self, arguments: Sequence[str], environment: Sequence[str], settings: Iterable[str] = ()
    ) -> None:
        """Stop before a launch file with a flag, a value, a variable or a setting that this version does not have is written.

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
        for name in settings:
            if name not in self.settings:
                raise RuntimeError(f"{name} is no setting of {self.command} {self.version}")


def versions(engine: str) -> tuple[str, ...]:
    """Versions of an engine whose flags are known, oldest first."""
    found = (path.stem.removeprefix(f"{engine}-") for path in FOLDER.glob(f"{engine}-*.yaml"))
    return tuple(sorted(found, key=_order))


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


_VERSION = re.compile(r"v?[0-9]+(\.[0-9]+){1,3}([a-z0-9.]{0,20})")


def read_version(engine: str, version: str | None, assume: str | None = None) -> tuple[str, str]:
    """(version to launch, version whose flags it is launched with), checked.

    Args:
        version: left out, the newest that was started for real, or else the newest that is known.
        assume: a known version that an unknown one is taken to be like.

    Raises:
        ProblemError: the flags of the version are not known and nothing is assumed, or an assumption without use.
    """
    known = versions(engine)
    chosen = (version or "").removeprefix("v")
    if assume is None and version is not None and chosen not in known:
        raise ProblemError(
            "--engine-version",
            f"the flags of {engine} {version} are not known here, and are not guessed; known: {', '.join(known)}; "
            f"--assume {known[-1]} takes them to be those of {known[-1]}, unchecked",
        )
    if assume is None:
        return (chosen, chosen) if version else (_default(engine),) * 2
    if assume.removeprefix("v") not in known:
        raise ProblemError("--assume", f"the flags of {engine} {assume} are not known; known: {', '.join(known)}")
    if version is None or chosen in known:
        raise ProblemError("--assume", "is for an --engine-version that is not known here; leave it out")
    if not _VERSION.fullmatch(version):
        raise ProblemError("--engine-version", f"{version!r} is not a version such as {known[-1]}")
    return chosen, assume.removeprefix("v")


@cache
def _default(engine: str) -> str:
    known = versions(engine)
    return next((one for one in reversed(known) if "started" in _data(engine, one)), known[-1])


def _data(engine: str, version: str) -> dict[str, Any]:
    with (FOLDER / f"{engine}-{version}.yaml").open("rb") as stream:
        data: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return data


@cache
def engine_flags(engine: str, version: str | None = None) -> EngineFlags:
    """Flags of an engine; of the version that is launched by default where none is named.

    Raises:
        ProblemError: the flags of this version are not known.
    """
    data = _data(engine, read_version(engine, version)[1])
    return EngineFlags(
        data["command"],
        data["version"],
        frozenset([*data["flags"], *data["server_flags"]]),
        {flag: tuple(values) for flag, values in data["choices"].items()},
        data["costly"],
        data["environment"],
        frozenset(data.get("settings", ())),
    )
