"""``why_this``: why the answer cannot be improved, and what each limit is worth, for equal nodes and inventories."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from optimizer.questions.refused import equal_nodes
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.explain.uniform.why_this import WhyThis
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.pools_why import PoolsWhyThis
    from optimizer.results.why import InventoryWhyThis

Progress = Callable[[Any], None]


def why_this(
    problem: AnyProblem,
    *,
    stated: Stated | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> WhyThis | InventoryWhyThis | PoolsWhyThis:
    """Why the answer cannot be improved, and what each limit (an inventory: each node) is worth. Raises ``ProblemError``."""
    if getattr(problem, "serving", "joint") != "joint":
        from optimizer.questions.pools_why_this import pools_why_this
        from optimizer.reading.stated_any import stated_of_any

        asked = cast("Problem | InventoryProblem", problem)
        return pools_why_this(asked, stated or stated_of_any(asked), time_limit_s=time_limit_s)
    if kind_of(problem) == "inventory":
        from optimizer.questions.inventory_why import inventory_why_this

        return inventory_why_this(cast("InventoryProblem", problem), time_limit_s=time_limit_s, progress=progress)
    uniform = equal_nodes(problem, "why-this")
    from optimizer.explain.uniform.why_this import why_this as explained
    from optimizer.reading.stated import stated_of

    return explained(uniform, stated or stated_of(uniform))
