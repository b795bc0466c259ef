"""A report of a part of an answer, as it stands in the report of the whole: every id with the part's name before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import overload

from optimizer.reporting.document import (
    Block,
    Bullets,
    Cell,
    Derivation,
    Figure,
    Picture,
    Section,
    Table,
    Text,
)


class ReportPart:
    """What names a part.

    Args:
        id: before every id, such as ``joint``.
        title: before titles of sections, such as ``Joint instances``.
    """

    def __init__(self, id: str, title: str) -> None:
        self.id, self.title = id, title

    def named(self, id: str) -> str:
        """An id of the part among those of the whole."""
        return f"{self.id}-{id}"

    def sections(self, found: Iterable[Section], left_out: Iterable[str] = ()) -> list[Section]:
        """Sections of the part, but for those that the whole has itself."""
        without = frozenset(left_out)
        return [self._section(one) for one in found if one.id not in without]

    def _section(self, one: Section) -> Section:
        title = f"{self.title}: {one.title[:1].lower()}{one.title[1:]}"
        return replace(
            one, id=self.named(one.id), title=title, blocks=tuple(self._block(block) for block in one.blocks)
        )

    def derivations(self, found: Iterable[Derivation]) -> list[Derivation]:
        """Derivations of the part."""
        return [
            replace(
                one,
                id=self.named(one.id),
                title=f"{self.title}: {one.title[:1].lower()}{one.title[1:]}",
                figure=self.figure(one.figure),
                inputs=tuple(self.named(id) for id in one.inputs),
            )
            for one in found
        ]

    def figure(self, figure: Figure) -> Figure:
        """A figure of the part, linked to its derivation among those of the whole."""
        return self._cell(figure)

    def _block(self, block: Block) -> Block:
        if isinstance(block, Text):
            return self._cell(block)
        if isinstance(block, Bullets):
            return replace(block, items=tuple((mark, self._parts(parts)) for mark, parts in block.items))
        if isinstance(block, Table):
            rows = tuple(tuple(self._cell(cell) for cell in row) for row in block.rows)
            return replace(block, id=self.named(block.id), rows=rows)
        if isinstance(block, Picture):
            return replace(block, id=self.named(block.id))
        return block

    def _parts(self, parts: tuple[str | Figure, ...]) -> tuple[str | Figure, ...]:
        return tuple(self._cell(part) if isinstance(part, Figure) else part for part in parts)

    @overload
    def _cell(self, cell: Figure) -> Figure: ...
    @overload
    def _cell(self, cell: Text) -> Text: ...
    @overload
    def _cell(self, cell: Cell) -> Cell: ...
    def _cell(self, cell: Cell) -> Cell:
        if isinstance(cell, Figure):
            return cell if cell.derivation is None else replace(cell, derivation=self.named(cell.derivation))
        return replace(cell, parts=self._parts(cell.parts)) if isinstance(cell, Text) else cell
