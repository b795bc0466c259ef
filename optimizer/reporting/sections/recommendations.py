"""Recommendations, each solved again, with the change of the problem file and what it gains."""

from __future__ import annotations

from typing import Any

from optimizer.explain.common.numbers import listing
from optimizer.render.as_json import dumps
from optimizer.reporting.derive.rules import signed
from optimizer.reporting.document import Block, Cell, Column, Section, Table, Text
from optimizer.reporting.ledger import EXACT, Ledger, number
from optimizer.reporting.recommend import WORTH_MS, Advice, Recommendations

BASIS = (
    "Each change was made alone and the problem solved again over all its candidates. Gains are of the objective (expected "
    "milliseconds per request over failure states) against the best strategy of the problem as stated; the gain of running "
    "another strategy is against the one that was checked. A minus is a price."
)


def recommendations_section(found: Recommendations, ledger: Ledger) -> Section:
    """A table of changes; below it, what gains nothing."""
    rows: list[tuple[Cell, ...]] = [
        (
            one.words,
            _change(one),
            one.strategy.label if one.strategy else "none",
            _gain(one, number, ledger),
            one.effect,
        )
        for number, one in enumerate(found.advice, start=1)
    ]
    columns = (
        Column("change", "Change"), Column("field", "In the problem file"), Column("strategy", "Best then"),
        Column("gain", "Gain per request", right=True), Column("effect", "Effect"),
    )  # fmt: skip
    blocks: list[Block] = [Text((BASIS,))]
    if rows:
        blocks.append(Table("recommendations", columns, tuple(rows)))
    else:
        blocks.append(Text(("None of the changes that were tried gains anything.",)))
    blocks += [Text((sentence,)) for sentence in found.against]
    if found.nothing:
        blocks.append(Text((f"Solved again too, and worth nothing: {listing(list(found.nothing))}.",)))
    return Section("recommendations", "Recommendations", tuple(blocks))


def _change(one: Advice) -> str:
    return "; ".join(f"{field}: {_value(value)}" for field, value in one.changes.items()) or "–"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else dumps(value)


def _gain(one: Advice, position: int, ledger: Ledger) -> Cell:
    if one.before_ms is None or one.after_ms is None:
        return "–"
    gain = one.before_ms - one.after_ms
    if abs(gain) <= WORTH_MS:
        return "nothing"
    before, after = f"{number(one.before_ms, EXACT)} ms", f"{number(one.after_ms, EXACT)} ms"
    return ledger.derive(
        f"gain-{position}", f"Gain: {one.words}", "objective without the change − objective with it", f"{before} − {after}",
        gain, "ms", text=signed(gain, "ms"), note="docs/model.md, section 6; of the best candidate, or of the strategy checked",
    )  # fmt: skip
