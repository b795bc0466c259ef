"""One process of an engine: its arguments and environment, with marks where only the target knows the value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEAD, RANK, FOLDER, NODE = "@head@", "@rank@", "@folder@", "@node@"
"""Marks: address of the instance's first node, the number of this node in the instance, where the launch files lie, this node's address."""


@dataclass(frozen=True, slots=True)
class Command:
    """``arguments`` begins with the program. ``gpus`` are the GPU indices of the node in rank order."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    gpus: tuple[int, ...]
    port: int
    serves: bool
    notes: tuple[str, ...] = field(default=())
    """What the person has to know, whole sentences."""
    settings_file: str = ""
    """Name of a file beside the launch files that the command reads, ``@folder@/NAME`` in its arguments; "" for none."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What stands in it."""
    served_as: str = ""
    """What requests call the model; "" for what the engine loads."""

    def filled(self, head: str, rank: str, folder: str = ".") -> tuple[str, ...]:
        """The arguments with the marks replaced."""
        return tuple(word.replace(HEAD, head).replace(RANK, rank).replace(FOLDER, folder) for word in self.arguments)

    def environment_on(self, node: str) -> dict[str, str]:
        """The environment with the mark of the node's own address replaced."""
        return {name: value.replace(NODE, node) for name, value in self.environment.items()}

    def value(self, flag: str) -> str | None:
        """The value of a flag; None where it is not set."""
        if flag not in self.arguments:
            return None
        return self.arguments[self.arguments.index(flag) + 1]

    def setting(self, path: str) -> str | None:
        """What stands at a place of the file of settings, such as ``kv_cache_config.dtype``; None where nothing does."""
        found: Any = self.settings
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return None if found is None else str(found)


def joined(values: tuple[int, ...]) -> str:
    """Numbers with commas, as engines take lists."""
    return ",".join(str(value) for value in values)
