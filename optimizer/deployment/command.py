"""One process of an engine: its arguments and environment, with marks where only the target knows the value."""

from __future__ import annotations

from dataclasses import dataclass, field

HEAD, RANK = "@head@", "@rank@"
"""Marks: address of the instance's first node, and the number of this node in the instance."""


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

    def filled(self, head: str, rank: str) -> tuple[str, ...]:
        """The arguments with the marks replaced."""
        return tuple(word.replace(HEAD, head).replace(RANK, rank) for word in self.arguments)

    def value(self, flag: str) -> str | None:
        """The value of a flag; None where it is not set."""
        if flag not in self.arguments:
            return None
        return self.arguments[self.arguments.index(flag) + 1]


def joined(values: tuple[int, ...]) -> str:
    """Numbers with commas, as engines take lists."""
    return ",".join(str(value) for value in values)
