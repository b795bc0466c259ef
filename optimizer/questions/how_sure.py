"""``how_sure``: over which range of each uncertain fact the answer stays the best, for equal nodes and inventories."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from optimizer.questions.refused import equal_nodes
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.explain.uniform.how_sure import HowSure
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.pools_why import PoolsHowSure
    from optimizer.results.why import InventoryHowSure

Progress = Callable[[Any], None]


def how_sure(
    problem: AnyProblem,
    *,
    stated: Stated | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> HowSure | InventoryHowSure | PoolsHowSure:
    """Over which range of each uncertain fact the answer stays the best. Raises ``ProblemError``."""
    if getattr(problem, "serving", "joint") != "joint":
        from optimizer.questions.pools_how_sure import pools_how_sure
        from optimizer.reading.stated_any import stated_of_any

        asked = cast("Problem | InventoryProblem", problem)
        return pools_how_sure(asked, stated or stated_of_any(asked), time_limit_s=time_limit_s)
    if kind_of(problem) == "inventory":
        from optimizer.questions.inventory_why import inventory_how_sure

        return inventory_how_sure(cast("InventoryProblem", problem), time_limit_s=time_limit_s, progress=progress)
    uniform = equal_nodes(problem, "how-sure")
    from optimizer.explain.uniform.how_sure import how_sure as explained
    from optimizer.reading.stated import stated_of

    return explained(uniform, stated or stated_of(uniform))
