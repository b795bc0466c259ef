"""``check``: whether what somebody proposes keeps every rule, each with its slack, and the optimum beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, overload

from optimizer.facts.errors import ProblemError
from optimizer.questions.refused import refuse_day
from optimizer.reading.question import kind_of
from optimizer.results.answer import Fixed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.cluster_models import ClusterModelsProblem
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.facts.proposal import ChainProposal, ClusterModelsProposal, Proposal, SeveralProposal
    from optimizer.facts.several import SeveralProblem
    from optimizer.questions.options import CheckOptions, Progress
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import CheckAnswer
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.cluster_models import ClusterModelsAnswer
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.pools import FixedPools, PoolsAnswer
    from optimizer.results.several import SeveralAnswer
    from optimizer.results.side_by_side import SideBySideAnswer


@overload
def check(
    problem: Problem, fixed: Fixed = ..., **options: Unpack[CheckOptions]
) -> CheckAnswer | PoolsAnswer | SideBySideAnswer: ...
@overload
def check(
    problem: InventoryProblem, fixed: Fixed = ..., **options: Unpack[CheckOptions]
) -> InventoryAnswer | ClusterPoolsAnswer: ...
@overload
def check(problem: ChainProblem, fixed: Fixed = ..., **options: Unpack[CheckOptions]) -> ChainAnswer: ...
@overload
def check(
    problem: ClusterModelsProblem, fixed: Fixed = ..., **options: Unpack[CheckOptions]
) -> ClusterModelsAnswer: ...
@overload
def check(problem: SeveralProblem, fixed: Fixed = ..., **options: Unpack[CheckOptions]) -> SeveralAnswer: ...
def check(
    problem: AnyProblem,
    fixed: Fixed = Fixed(),
    *,
    placement: Proposal | ChainProposal | SeveralProposal | ClusterModelsProposal | None = None,
    pools: FixedPools | None = None,
    share: float | None = None,
    side_by_side: bool = True,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> (
    CheckAnswer
    | InventoryAnswer
    | ChainAnswer
    | PoolsAnswer
    | ClusterPoolsAnswer
    | SeveralAnswer
    | ClusterModelsAnswer
    | SideBySideAnswer
):
    """Judge a proposal: a strategy (``hardware:``), what every instance has or all of them (``cluster:``), or who holds what (a chain).

    Args:
        problem: from ``load_problem``.
        fixed: the decisions of the proposal; those left out are chosen as well as possible.
        placement: in place of ``fixed``, every instance of an inventory, what several models get, or the layers of a chain's nodes
            (``reading.proposal``).
        pools: in place of ``fixed``, decisions of prefill and decode pools; with it (``hardware:``) joint instances beside pools.
        share: of the requests, what joint instances beside pools are sent, in tenths; None: the best.
        side_by_side: False refuses joint instances beside pools.
        time_limit_s, progress, stated, all_conflicts, repairs: as for ``solve``.

    Raises:
        ProblemError: a decision is out of range, contradicts another, or has no meaning for this kind of problem.
    """
    from optimizer.facts.proposal import ChainProposal, Proposal, SeveralProposal

    kind = kind_of(problem)
    if placement is not None and fixed.any:
        raise ProblemError("--placement", "says everything; leave out --tp, --pp and the other decisions")
    refuse_day(problem, "check")
    beside = side_by_side and kind == "uniform" and placement is None and fixed.any
    if share is not None and (pools is None or not beside):
        raise ProblemError(
            "--share", "is for joint instances (--tp, --dp) beside pools (--prefill, --decode) of hardware:; state both"
        )
    if pools is not None and beside:
        from optimizer.questions.side_by_side_check import check_beside

        return check_beside(cast("Problem", problem), fixed, pools, share, time_limit_s=time_limit_s)
    if kind == "models":
        if fixed.any or pools is not None or placement is None:
            raise ProblemError(
                "models",
                "say what each model is to get with --placement FILE (docs/several.md), or let optimizer solve "
                "split the nodes",
            )
        from optimizer.facts.cluster_models import ClusterModelsProblem
        from optimizer.facts.proposal import ClusterModelsProposal

        on_cluster = isinstance(problem, ClusterModelsProblem)
        if on_cluster is not isinstance(placement, ClusterModelsProposal):
            right = "instances: [{group: …, tp: …}]" if on_cluster else "{tp: …, dp: …}"
            raise ProblemError("--placement", f"states each model's {right} here (docs/several.md)")
        if isinstance(problem, ClusterModelsProblem):
            from optimizer.questions.cluster_models import check_cluster_models

            return check_cluster_models(
                problem, cast(ClusterModelsProposal, placement), time_limit_s=time_limit_s, progress=progress
            )
        from optimizer.questions.several import check_several

        return check_several(
            cast("SeveralProblem", problem),
            cast(SeveralProposal, placement),
            time_limit_s=time_limit_s,
            progress=progress,
        )
    if kind == "chain":
        if pools is not None:
            raise ProblemError("--prefill", "pools are for hardware: and cluster:, not for kind: chain")
        if fixed.any or placement is None:
            raise ProblemError(
                "kind",
                "chain: TP, PP and DP have no meaning on nodes that hold layers each; state who holds which layers with "
                "--placement FILE, or let optimizer solve place them",
            )
        from optimizer.questions.chain_check import check_chain

        return check_chain(
            cast("ChainProblem", problem), cast(ChainProposal, placement), time_limit_s=time_limit_s, progress=progress
        )
    if kind == "uniform":
        judged = _pools_judged(cast("Problem", problem), fixed, pools, time_limit_s)
        if judged is not None:
            return judged
        problem = problem.model_copy(update={"serving": "joint"})
        if placement is not None:
            raise ProblemError(
                "--placement", "is for cluster and for chains; with hardware every node is alike: fix --tp, --pp, --dp"
            )
        from optimizer.questions.uniform import check as uniform
        from optimizer.questions.variants import best_of

        return best_of(
            cast("Problem", problem),
            lambda one, read, left: uniform(
                one,
                fixed,
                time_limit_s=left,
                progress=progress,
                stated=stated,
                all_conflicts=all_conflicts,
                repairs=repairs,
                reasons=read,
            ),
            time_limit_s=time_limit_s,
        )
    inventory = cast("InventoryProblem", problem)
    if placement is None and _pools_asked(inventory.serving, fixed, pools):
        from optimizer.questions.cluster_pools import check_cluster_pools
        from optimizer.results.pools import FixedPools

        return check_cluster_pools(inventory, pools or FixedPools(), time_limit_s=time_limit_s)
    inventory = inventory.model_copy(update={"serving": "joint"})
    if placement is not None:
        from optimizer.questions.check_placement import check_placement

        return check_placement(inventory, cast(Proposal, placement), time_limit_s=time_limit_s, progress=progress)
    from optimizer.questions.inventory import check_inventory

    return check_inventory(inventory, fixed, time_limit_s=time_limit_s, progress=progress, repairs=repairs)


def _pools_judged(
    problem: Problem, fixed: Fixed, pools: FixedPools | None, time_limit_s: float | None
) -> PoolsAnswer | None:
    """The judgement of pools; None where a joint strategy is asked about.

    Raises:
        ProblemError: both kinds are decided, or a joint strategy where pools are asked for.
    """
    if not _pools_asked(problem.serving, fixed, pools):
        return None
    from optimizer.questions.pools import check_pools
    from optimizer.results.pools import FixedPools

    return check_pools(problem, pools or FixedPools(), time_limit_s=time_limit_s)


def _pools_asked(serving: str, fixed: Fixed, pools: FixedPools | None) -> bool:
    """Whether pools are judged, and not a joint strategy.

    Raises:
        ProblemError: both kinds are decided, or a joint strategy where pools are asked for.
    """
    if pools is not None and fixed.any:
        raise ProblemError(
            "--prefill",
            "decides pools; leave out --tp, --dp and the other decisions of joint instances, which stand "
            "beside pools on hardware: alone",
        )
    if pools is None and serving == "joint":
        return False
    if pools is None and serving == "any":
        if fixed.any:
            return False
        raise ProblemError(
            "serving",
            "any: say what is checked, joint instances (--tp, --dp), pools (--prefill, --decode) or, on hardware:, both",
        )
    if fixed.any:
        raise ProblemError(
            "--tp", "decides joint instances, and serving is disaggregated; state --prefill and --decode"
        )
    return True
