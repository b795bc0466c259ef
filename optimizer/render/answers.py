"""Which room prints which kind of answer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from optimizer.results.kinds import name_of

if TYPE_CHECKING:
    from optimizer.results.kinds import AnyAnswer

_PRINTERS = {
    "Answer": ("text", "print_answer"),
    "CheckAnswer": ("text", "print_check"),
    "InventoryAnswer": ("inventory", "print_inventory"),
    "PoolsAnswer": ("pools", "print_pools"),
    "ClusterPoolsAnswer": ("cluster_pools", "print_cluster_pools"),
    "DayAnswer": ("day", "print_day"),
    "ClusterDayAnswer": ("cluster_day", "print_cluster_day"),
    "SeveralAnswer": ("several", "print_several"),
    "ClusterModelsAnswer": ("cluster_models", "print_cluster_models"),
    "SideBySideAnswer": ("side_by_side", "print_side_by_side"),
    "ClusterSideBySideAnswer": ("cluster_side_by_side", "print_cluster_side_by_side"),
}


def print_any(
    answer: AnyAnswer,
    *,
    full: bool,
    launch: Sequence[str] = (),
) -> None:
    """Print the answer of ``solve`` or ``check``: one screen, or every table; ``launch`` are the sentences that start it."""
    kind = name_of(answer)
    if kind == "ChainAnswer":
        from optimizer.render.chain import print_chain

        print_chain(answer)  # type: ignore[arg-type]
        return
    module, name = _PRINTERS[kind]
    getattr(import_module(f"optimizer.render.{module}"), name)(answer, full=full, launch=launch)
