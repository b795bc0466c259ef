"""``why_not``: why a proposal is not the answer, for any kind of problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from optimizer.facts.errors import ProblemError
from optimizer.questions.refused import INSTEAD, equal_nodes, refuse_several
from optimizer.reading.question import kind_of
from optimizer.results.answer import Fixed

if TYPE_CHECKING:
    from optimizer.explain.uniform.why_not import WhyNot
    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.facts.proposal import ChainProposal
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.pools import FixedPools
    from optimizer.results.pools_why import PoolsWhyNot
    from optimizer.results.why import ChainWhyNot, InventoryWhyNot

Progress = Callable[[Any], None]


def why_not(
    problem: AnyProblem,
    fixed: Fixed = Fixed(),
    *,
    layers: ChainProposal | None = None,
    pools: FixedPools | None = None,
    serving: Literal["joint", "disaggregated", "side-by-side"] | None = None,
    share: float | None = None,
    stated: Stated | None = None,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> WhyNot | InventoryWhyNot | ChainWhyNot | PoolsWhyNot:
    """Why a proposal is not the answer: not allowed (with what conflicts), worse term by term, a tie, or it is the best.

    Args:
        problem: from ``load_problem``.
        fixed: at least one decision; the rest is chosen as well as possible.
        layers: of a chain, in place of ``fixed``: the interval that each of some nodes holds.
        pools: in place of ``fixed``, decisions of prefill and decode pools; with it, of those beside the joint instances.
        serving: in place of both, the best of one kind of instances, or of both side by side.
        share: of the requests, what joint instances beside pools are sent, in tenths; None: the best.
        stated: the problem file, by whose fields changes are named.
        time_limit_s: of each search over an inventory.
        progress: called while they run.

    Raises:
        ProblemError: no decision, one that is out of range, or one that has no meaning for this kind of problem.
    """
    refuse_several(problem, "why-not")
    if kind_of(problem) == "chain":
        if pools is not None or serving is not None:
            raise ProblemError("--prefill", "pools are for hardware: and cluster:, not for kind: chain")
        if layers is None or fixed.any:
            raise ProblemError("kind", f"chain: TP, PP and DP have no meaning here: {INSTEAD['why-not']}")
        from optimizer.questions.chain_check import why_not_chain

        return why_not_chain(cast("ChainProblem", problem), layers, time_limit_s=time_limit_s, progress=progress)
    if layers is not None:
        raise ProblemError("--node", "names nodes of a chain; say --tp, --pp and the other decisions here")
    if {pools, serving, share} != {None} or getattr(problem, "serving", "joint") != "joint":
        from optimizer.questions.pools_why_not import pools_why_not

        asked = cast("Problem | InventoryProblem", problem)
        return pools_why_not(asked, fixed, pools, serving, share=share, stated=stated, time_limit_s=time_limit_s)
    if not fixed.any:
        raise ProblemError("why-not", "needs at least one decision, e.g. --tp 8 --pp 1")
    kind = kind_of(problem)
    if kind == "inventory":
        from optimizer.questions.inventory_why import inventory_why_not

        return inventory_why_not(cast("InventoryProblem", problem), fixed, time_limit_s=time_limit_s, progress=progress)
    uniform = equal_nodes(problem, "why-not")
    from optimizer.explain.uniform.why_not import why_not as explained
    from optimizer.questions.uniform import check_fixed
    from optimizer.reading.stated import stated_of

    check_fixed(uniform, fixed)
    return explained(uniform, stated or stated_of(uniform), fixed)
