"""Numbers as people say them, each with its unit."""

from __future__ import annotations

from optimizer.facts.hardware import GIB


def amount(value: float | int | str | None, unit: str) -> str:
    """A value with its unit, e.g. ``67.6 GiB`` or ``98.1 ms``; words pass through."""
    if value is None:
        return "piles up"
    if isinstance(value, str):
        return value
    if unit == "bytes":
        return f"{value / GIB:,.2f} GiB"
    if unit == "ms":
        return milliseconds(value)
    if unit == "requests/s":
        return f"{value:,.2f} requests/s"
    if unit == "of the time":
        return f"{value:.1%} of the time"
    if unit == "share of requests":
        return f"{value * 100:.3g}% missed"
    if unit in {"GPUs", "sequences", "tokens"} and value == 1:
        return f"1 {unit[:-1]}"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.2f} {unit}".rstrip()
    return f"{int(value):,} {unit}".rstrip()


def milliseconds(value: float) -> str:
    """Milliseconds with as many digits as help: ``12.34 ms``, ``411 ms``, ``6,117 ms``."""
    if abs(value) >= 1000:
        return f"{value:,.0f} ms"
    if abs(value) >= 100:
        return f"{value:.0f} ms"
    return f"{value:.2f} ms"


def time_or_none(value: float | None) -> str:
    """A time that may be infinite, because requests pile up."""
    return "no finite time" if value is None else milliseconds(value)


def count(number: int, noun: str) -> str:
    """``1 GPU``, ``2 GPUs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listing(words: list[str]) -> str:
    """``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def is_share(unit: str) -> bool:
    """Whether a unit is "of something": its figures are shares, said in percent."""
    return unit.startswith("of ")
