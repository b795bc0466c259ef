"""The answers of ``solve`` and ``check``, whatever the kind of problem: which there are, and which an answer is.

A program that asks about one kind loads the classes of that one only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from optimizer.results.answer import Answer
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.cluster_day import ClusterDayAnswer
    from optimizer.results.cluster_models import ClusterModelsAnswer
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.day import DayAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.several import SeveralAnswer
    from optimizer.results.side_by_side import SideBySideAnswer

    AnyAnswer: TypeAlias = (
        Answer
        | InventoryAnswer
        | ChainAnswer
        | PoolsAnswer
        | ClusterPoolsAnswer
        | SeveralAnswer
        | ClusterModelsAnswer
        | DayAnswer
        | ClusterDayAnswer
        | SideBySideAnswer
        | ClusterSideBySideAnswer
    )

NAMES = (
    "CheckAnswer",
    "Answer",
    "InventoryAnswer",
    "ChainAnswer",
    "PoolsAnswer",
    "ClusterPoolsAnswer",
    "SeveralAnswer",
    "ClusterModelsAnswer",
    "DayAnswer",
    "ClusterDayAnswer",
    "SideBySideAnswer",
    "ClusterSideBySideAnswer",
)
"""Their classes; one that derives from another stands before it."""


def name_of(answer: Any) -> str:
    """The class of ``NAMES`` that an answer is of, found without loading the others.

    Raises:
        TypeError: it is no answer.
    """
    own = {kind.__name__ for kind in type(answer).__mro__ if kind.__module__.startswith("optimizer.results.")}
    for name in NAMES:
        if name in own:
            return name
    raise TypeError(f"an answer of solve or check is needed, not {type(answer).__name__}")
