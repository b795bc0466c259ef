"""``check``: whether what somebody proposes keeps every rule, each with its slack, and the optimum beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import CheckAnswer, Fixed
    from optimizer.results.inventory import InventoryAnswer

Progress = Callable[[Any], None]


@overload
def check(
    problem: Problem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> CheckAnswer: ...
@overload
def check(
    problem: InventoryProblem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> InventoryAnswer: ...
def check(
    problem: AnyProblem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> CheckAnswer | InventoryAnswer:
    """Judge a proposal: for ``hardware:`` a strategy, for ``cluster:`` what every instance has.

    Args:
        problem: from ``load_problem``.
        fixed: the decisions of the proposal; those left out are chosen as well as possible.
        time_limit_s, progress, stated, all_conflicts, repairs: as for ``solve``.

    Raises:
        ProblemError: a decision is out of range, contradicts another, or has no meaning for this kind of problem.
    """
    kind = kind_of(problem)
    if kind == "uniform":
        from optimizer.questions.uniform import check as uniform

        return uniform(
            problem,  # type: ignore[arg-type]
            fixed,
            time_limit_s=time_limit_s,
            progress=progress,
            stated=stated,
            all_conflicts=all_conflicts,
            repairs=repairs,
        )
    if kind == "inventory":
        from optimizer.questions.inventory import check_inventory

        return check_inventory(
            problem,  # type: ignore[arg-type]
            fixed,
            time_limit_s=time_limit_s,
            progress=progress,
            repairs=repairs,
        )
    raise ProblemError(
        "kind",
        "chain: TP, PP and DP have no meaning on nodes that hold layers each; optimizer solve places the layers and "
        "proves how good that is",
    )
