"""What an engine prints when it starts and how people start it, as patterns: ``data/printed``, one file an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.facts.engine_names import ENGINE_NAMES

FOLDER = Path(__file__).parent / "data" / "printed"
NUMBER = r"(?<![\d.,])(-?\d{1,20}(?:[.,]\d{1,20}){0,9})"
PLACES = {"<n>": NUMBER, "<GiB>": rf"{NUMBER}\s{{0,9}}G(?:i)?B"}
"""Bounded, as every repetition in the files is: a line of a million digits or blanks takes no longer than another."""


@dataclass(frozen=True, slots=True)
class StartTexts:
    """The patterns of one engine; what a file leaves out is not known of it."""

    engine: str
    started_by: tuple[str, ...]
    """Regular expressions of the commands that start it."""
    model_first: bool
    """Whether the model may stand behind such a command without a flag."""
    marks: tuple[str, ...]
    """Texts that no other engine prints."""
    version: re.Pattern[str] | None
    """Its version, as the only group."""
    non_torch_holds: frozenset[str]
    """Parts of its overhead that its figure of memory outside its allocator holds."""
    figures: dict[str, tuple[re.Pattern[str], ...]]
    """Name of a figure of a start-up log → patterns, the first that is found counts. Groups of one pattern add up."""

    def read(self, text: str) -> dict[str, str | tuple[str, ...]]:
        """Each figure at its last place in a text, as written; several groups where a pattern has several."""
        found: dict[str, str | tuple[str, ...]] = {}
        for name, patterns in self.figures.items():
            all_of = next((places for pattern in patterns if (places := pattern.findall(text))), None)
            if all_of:
                found[name] = all_of[-1]
        return found


@cache
def printed_by(engine: str) -> StartTexts:
    """What is known of an engine; nothing where it has no file."""
    path = FOLDER / f"{engine}.yaml"
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    known: dict[str, Any] = yaml.load(path.read_bytes(), Loader=loader) if path.is_file() else {}

    def pattern(text: str, *, any_case: bool = False) -> re.Pattern[str]:
        for place, meant in PLACES.items():
            text = text.replace(place, meant)
        return re.compile(text, re.IGNORECASE if any_case else 0)

    return StartTexts(
        engine,
        tuple(known.get("started_by", ())),
        known.get("model_first", False),
        tuple(known.get("marks", ())),
        pattern(known["version"], any_case=True) if "version" in known else None,
        frozenset(known.get("non_torch_holds", ())),
        {name: tuple(pattern(one) for one in patterns) for name, patterns in known.get("figures", {}).items()},
    )


@cache
def every_engine() -> tuple[StartTexts, ...]:
    """All engines, by name."""
    return tuple(printed_by(name) for name in ENGINE_NAMES)
