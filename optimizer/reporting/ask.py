"""``report``: everything that can be said of an answer, every figure with its derivation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.questions.refused import refuse_several
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.facts.recovery import RecoveryFacts
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.reporting.build import Built
    from optimizer.reporting.curves import FrontRow, SweepPoint


def report(
    problem: AnyProblem,
    answer: Any,
    *,
    stated: Stated | None = None,
    recovery: RecoveryFacts | None = None,
    front: Sequence[FrontRow] = (),
    curve: Sequence[SweepPoint] = (),
) -> Built:
    """The report of an answer; ``reporting.written`` turns it into Markdown, JSON and HTML.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``.
        stated: the problem file, by whose fields recommendations speak (equal nodes).
        recovery: engine start and storage bandwidth (equal nodes; an inventory's file states its own).
        front, curve: of a Pareto front and a sweep that were computed before.
    """
    from optimizer.reporting.build import Built, build_report, report_of
    from optimizer.reporting.ledger import Ledger
    from optimizer.reporting.sections.curves import curves_section
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.side_by_side import SideBySideAnswer

    refuse_several(problem, "report")
    kind = kind_of(problem)
    if isinstance(answer, SideBySideAnswer):
        from optimizer.catalog.recovery import recovery_facts
        from optimizer.reporting.side_by_side import side_by_side_report, side_by_side_verdict

        both = side_by_side_report(cast("Problem", problem), answer, recovery or recovery_facts())
        curves = [curves_section(front, curve)] if front or curve else []
        whole = report_of(problem.name, *side_by_side_verdict(answer), [*both.sections, *curves], both.derivations)
        return Built(whole, None, tuple(front), tuple(curve), parts={"joint": both.joint})
    if isinstance(answer, ClusterSideBySideAnswer):
        from optimizer.facts.cluster_side_by_side import joint_part_on, pools_part_on
        from optimizer.reporting.cluster_side_by_side import cluster_side_by_side_report
        from optimizer.reporting.side_by_side import side_by_side_verdict

        stood = cast("InventoryProblem", problem)
        split = answer.split_of(stood)
        parts = joint_part_on(stood, split), pools_part_on(stood, split)
        of_both, derivations = cluster_side_by_side_report(stood, answer, parts)
        curves = [curves_section(front, curve)] if front or curve else []
        whole = report_of(problem.name, *side_by_side_verdict(answer), [*of_both, *curves], derivations)
        return Built(whole, None, tuple(front), tuple(curve))
    if kind == "uniform" and not isinstance(answer, PoolsAnswer):
        from optimizer.catalog.recovery import recovery_facts
        from optimizer.reading.stated import stated_of

        uniform = cast("Problem", problem)
        if uniform.workload.users is not None:
            raise ProblemError("workload.users", _of_one_rate(answer))
        stated = stated or stated_of(uniform)
        return build_report(uniform, answer, stated, recovery or recovery_facts(), front=front, curve=curve)
    ledger = Ledger()
    drawn: dict[str, str] = {}
    if isinstance(answer, PoolsAnswer):
        from optimizer.reporting.pools import pools_sections, pools_verdict

        uniform = cast("Problem", problem)
        sections, verdict = pools_sections(uniform, answer, ledger), pools_verdict(answer, uniform.serving)
    elif isinstance(answer, ClusterPoolsAnswer):
        from optimizer.reporting.cluster_pools import cluster_pools_sections
        from optimizer.reporting.pools import pools_verdict

        inventory = cast("InventoryProblem", problem)
        sections = cluster_pools_sections(inventory, answer, ledger)
        verdict = pools_verdict(answer, inventory.serving)
    elif kind == "inventory" and not isinstance(answer, ChainAnswer):
        from optimizer.reporting.inventory import inventory_pictures, inventory_sections, inventory_verdict

        inventory = cast("InventoryProblem", problem)
        sections, drawn = inventory_sections(inventory, answer, ledger), inventory_pictures(inventory, answer)
        verdict = inventory_verdict(answer)
    else:
        from optimizer.reporting.chain import chain_pictures, chain_sections, chain_verdict

        chain = _chain_of(problem)
        sections, drawn = chain_sections(chain, answer, ledger), chain_pictures(answer)
        verdict = chain_verdict(answer)
    if front or curve:
        sections.append(curves_section(front, curve))
    built = report_of(problem.name, *verdict, sections, ledger.derivations)
    return Built(built, None, tuple(front), tuple(curve), drawn)


def _chain_of(problem: AnyProblem) -> ChainProblem:
    """The chain that an answer is about: of the file, or that of an inventory whose instances it stands for."""
    if kind_of(problem) == "chain":
        return cast("ChainProblem", problem)
    from optimizer.questions.chain_costs import priced
    from optimizer.questions.inventory_chain import as_chain

    return priced(as_chain(cast("InventoryProblem", problem)))


def _of_one_rate(answer: Any) -> str:
    """Why users are no question of a report, and what is."""
    said = "a report derives every figure from one rate, and users send less when part of the service is down; optimizer solve answers"
    sent = answer.metrics.requests_per_s if answer.metrics is not None else None
    return f"{said}; state workload.requests_per_s" + (
        f": {sent:g}, what they send to {answer.strategy.label}" if sent else ""
    )
