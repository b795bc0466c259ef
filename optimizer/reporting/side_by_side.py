"""The report of joint instances beside prefill and decode pools: both together, then each part as in a report of its own.

``docs/report.md``; ``docs/disaggregated.md``, section 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.problem import Problem
from optimizer.facts.recovery import RecoveryFacts
from optimizer.facts.side_by_side import BesideSplit, joint_part, pools_part
from optimizer.reporting.beside_parts import SLOWER, PartFacts, beside_summary, named, parts_section
from optimizer.reporting.build import Built, part_of_strategy
from optimizer.reporting.document import Derivation, Section, Text, Verdict
from optimizer.reporting.folding import facts_gists, folded
from optimizer.reporting.inventory import placement_section
from optimizer.reporting.ledger import Ledger, number
from optimizer.reporting.part import ReportPart
from optimizer.reporting.pools import pools_sections
from optimizer.reporting.sections.hardware import hardware_section
from optimizer.reporting.sections.model import model_section
from optimizer.results.answer import Answer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.place_beside import place_joint_part, place_pools_part
from optimizer.results.pools import PoolsAnswer
from optimizer.results.side_by_side import SideBySideAnswer

OF_THE_WHOLE = frozenset({"summary", "placement", "launch"})
"""Sections that are said once of both parts."""


@dataclass(frozen=True, slots=True)
class BesideReport:
    """What the report of both consists of; ``joint`` draws its pictures."""

    sections: list[Section]
    derivations: list[Derivation]
    joint: Built


def side_by_side_verdict(answer: SideBySideAnswer | ClusterSideBySideAnswer) -> tuple[Verdict, str]:
    """The verdict and its headline."""
    broken = [
        f"{rule.id} ({part})" for part, of in named(answer) for rule in of.rules if rule.enabled and not rule.holds
    ]
    if broken or answer.feasible is False:
        return "fail", f"{answer.label} breaks {', '.join(broken) or 'a rule'}"
    if answer.status == "optimal":
        return "pass", f"{answer.label} keeps every rule and is proved best of all three kinds"
    if answer.feasible:
        return "pass", f"{answer.label} keeps every rule, but is not proved the best"
    return "pass", f"{answer.label} keeps every rule; whether it is the best is not proved"


def side_by_side_report(problem: Problem, answer: SideBySideAnswer, recovery: RecoveryFacts) -> BesideReport:
    """Both parts' sections, and what is said of both together before them."""
    split = answer.split_of(problem)
    ledger, own = Ledger(), Ledger()
    first, second = ReportPart("joint", "Joint instances"), ReportPart("pools", "Pools")
    joint = part_of_strategy(joint_part(problem, split), answer.joint, recovery)
    pools = pools_sections(pools_part(problem, split), answer.pools, own)
    hardware, model = hardware_section(problem, ledger), model_section(problem, ledger, None, None)
    parts = _parts(problem, answer, ledger, (first, joint.report.derivations), (second, own.derivations))
    placed = _placement(problem, answer, split)
    sections = [
        beside_summary(answer, ledger),
        parts,
        hardware,
        model,
        *([placed] if placed is not None else []),
        *first.sections(joint.report.sections, OF_THE_WHOLE),
        *second.sections(pools, OF_THE_WHOLE),
        _launch(answer),
    ]
    gists = {**facts_gists(problem), "placement": "the GPUs of every instance of either part"}
    gists |= {section.id: section.gist for section in sections if section.gist}
    derivations = [
        *ledger.derivations,
        *first.derivations(joint.report.derivations),
        *second.derivations(own.derivations),
    ]
    return BesideReport(folded(sections, gists), derivations, joint)


Derived = tuple[ReportPart, Sequence[Derivation]]


def _parts(problem: Problem, answer: SideBySideAnswer, ledger: Ledger, joint: Derived, pools: Derived) -> Section:
    """Both parts beside each other, and the price of both."""
    price = problem.hardware.price_per_gpu_hour
    if price is not None:
        ledger.derive(
            "price_per_hour", "Price per hour", "GPUs in use × price of a GPU-hour", f"{answer.gpus} × {number(price)}",
            price * answer.gpus, "", text=f"{price * answer.gpus:,.2f}", note="hardware.price_per_gpu_hour",
        )  # fmt: skip
    rest = problem.hardware.gpus - answer.joint_gpus
    work = problem.workload
    return parts_section(
        ledger, answer.metrics, answer.objective.value, work.requests_per_s, work.output_tokens,
        _facts(joint, answer.joint, answer.share, answer.joint_gpus),
        _facts(pools, answer.pools, 1 - answer.share, rest),
    )  # fmt: skip


def _facts(derived: Derived, answer: Answer | PoolsAnswer, share: float, set_apart: int) -> PartFacts:
    metrics, strategy = answer.metrics, answer.strategy
    assert metrics is not None and strategy is not None and answer.objective is not None
    return PartFacts(
        derived[0], strategy.label, share, set_apart, strategy.gpus, answer.objective.value,
        {name: getattr(metrics, name) for name in SLOWER}, metrics.max_request_rate, metrics.availability,
        {one.id: one.figure for one in derived[1]},
    )  # fmt: skip


def _placement(problem: Problem, answer: SideBySideAnswer, split: BesideSplit) -> Section | None:
    """Every instance of either part; None where one has no room, which its rules say."""
    assert answer.joint.strategy is not None and answer.pools.strategy is not None
    try:
        joint = place_joint_part(problem, split, answer.joint.strategy)
        pools = place_pools_part(problem, split, answer.pools.strategy)
    except ValueError:
        return None
    return placement_section((*joint.instances, *pools.instances))


def _launch(answer: SideBySideAnswer) -> Section:
    """Which command writes the files of both."""
    verified = answer.verification.passed and all(of.verification.passed for _, of in named(answer))
    if not verified:
        return Section("launch", "Launch commands", (Text(("None are named: the answer is not verified.",)),))
    said = (
        "optimizer deploy writes both parts, two services of one model, and one router in front of them that sends "
        f"{answer.share:.0%} of the requests to the joint instances."
    )
    return Section("launch", "Launch commands", (Text((said,)),))
