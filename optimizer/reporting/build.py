"""From an answer to its report: sections in order, and the derivations that they collected on the way."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from optimizer.catalog.recovery import recovery_facts
from optimizer.facts.problem import Problem
from optimizer.facts.recovery import RecoveryFacts
from optimizer.reading.stated import Stated, stated_of
from optimizer.reporting.curves import FrontRow, SweepPoint
from optimizer.reporting.derive.load import derive_load
from optimizer.reporting.derive.memory import derive_memory
from optimizer.reporting.derive.objective import derive_objective
from optimizer.reporting.derive.price import derive_price
from optimizer.reporting.derive.rules import derive_rules
from optimizer.reporting.derive.throughput import derive_throughput
from optimizer.reporting.document import Derivation, Figure, Report, Section, Verdict
from optimizer.reporting.folding import facts_gists, folded, gists_of
from optimizer.reporting.ledger import Ledger
from optimizer.reporting.recommend import advice_of
from optimizer.reporting.sections.balance import balance_section
from optimizer.reporting.sections.communication import communication_section
from optimizer.reporting.sections.curves import curves_section
from optimizer.reporting.sections.faults import faults_section
from optimizer.reporting.sections.findings import findings_section
from optimizer.reporting.sections.graph import find_graph, graph_section
from optimizer.reporting.sections.hardware import hardware_section
from optimizer.reporting.sections.launch import find_launch, launch_section
from optimizer.reporting.sections.model import model_section
from optimizer.reporting.sections.performance import performance_section
from optimizer.reporting.sections.recommendations import recommendations_section
from optimizer.reporting.sections.score import derive_score, score_section
from optimizer.reporting.sections.strategy import empty_strategy_section, strategy_section
from optimizer.reporting.sections.summary import empty_summary, summary_section, verdict_of
from optimizer.reporting.sections.throughput import throughput_section
from optimizer.reporting.subject import Subject
from optimizer.results.answer import Answer
from optimizer.version import __version__


@dataclass(frozen=True, slots=True)
class Built:
    """A report, and what its pictures are drawn from; no subject without a strategy."""

    report: Report
    subject: Subject | None
    front: tuple[FrontRow, ...] = ()
    curve: tuple[SweepPoint, ...] = ()
    drawn: Mapping[str, str] = field(default_factory=dict)
    """SVG of pictures that need nothing to be drawn, by id."""
    parts: Mapping[str, Built] = field(default_factory=dict)
    """Reports of parts that stand in this one, by what stands before their ids."""


def build_report(
    problem: Problem,
    answer: Answer,
    stated: Stated | None = None,
    recovery: RecoveryFacts | None = None,
    *,
    front: Sequence[FrontRow] = (),
    curve: Sequence[SweepPoint] = (),
) -> Built:
    """The report of an answer.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``, simulated where that is possible.
        stated: the problem file, so that recommendations speak of what it says.
        recovery: engine start and storage bandwidth; left out, the defaults with their sources.
        front, curve: of a Pareto front and a sweep that were computed before.
    """
    stated = replace(stated, costs=problem.costs) if stated is not None else stated_of(problem)
    recovery = recovery or recovery_facts()
    if answer.strategy is None or answer.metrics is None:
        ledger, subject = Ledger(), None
        sections = _without_strategy(problem, answer, stated, ledger)
    else:
        subject = Subject(problem, answer, answer.strategy, answer.metrics)
        ledger, sections = subject.ledger, _with_strategy(subject, stated, recovery)
    if front or curve:
        sections.append(curves_section(front, curve))
    return Built(_report(problem, answer, sections, ledger), subject, tuple(front), tuple(curve))


def part_of_strategy(problem: Problem, answer: Answer, recovery: RecoveryFacts) -> Built:
    """The report of joint instances that are a part of an answer: what is asked of the whole, and advice on it, is the whole's.

    Args:
        problem: what the part is asked.
        answer: with a strategy.

    Raises:
        ValueError: it has none.
    """
    if answer.strategy is None or answer.metrics is None:
        raise ValueError("a part without a strategy has no report")
    subject = Subject(problem, answer, answer.strategy, answer.metrics)
    _, _, memory = _derive(subject)
    sections = [*_of_strategy(subject, memory, recovery), graph_section(subject, find_graph(subject))]
    return Built(_report(problem, answer, folded(sections, gists_of(subject)), subject.ledger), subject)


def ledger_of(problem: Problem, answer: Answer) -> Ledger:
    """Every figure derived for an answer's strategy, without the sections that solve or simulate further.

    Empty where the answer has no strategy. The audit of a written report judges claims by it.
    """
    if answer.strategy is None or answer.metrics is None:
        return Ledger()
    subject = Subject(problem, answer, answer.strategy, answer.metrics)
    _derive(subject)
    strategy_section(subject, derive_memory(subject))
    performance_section(subject)
    throughput_section(subject)
    communication_section(subject)
    balance_section(subject, derive_memory(subject))
    return subject.ledger


def _derive(subject: Subject) -> tuple[Section, Section, dict[int, Figure]]:
    """Figures in the order in which they build on each other; the sections of hardware and model, and memory by stage."""
    ledger, strategy = subject.ledger, subject.strategy
    hardware = hardware_section(subject.problem, ledger)
    model = model_section(subject.problem, ledger, strategy.weight_precision, strategy.kv_precision)
    memory = derive_memory(subject)
    derive_load(subject)
    derive_throughput(subject)
    derive_price(subject)
    derive_objective(subject)
    derive_rules(subject)
    return hardware, model, memory


def _with_strategy(subject: Subject, stated: Stated, recovery: RecoveryFacts) -> list[Section]:
    """Made in the order in which derivations build on each other; the summary comes last and stands first."""
    ledger = subject.ledger
    hardware, model, memory = _derive(subject)
    graph, launch = find_graph(subject), find_launch(subject)
    *first, findings = _of_strategy(subject, memory, recovery)
    sections = [
        hardware,
        model,
        *first,
        launch_section(subject, launch),
        findings,
        recommendations_section(advice_of(subject.problem, stated, subject.answer), ledger),
        score_section(ledger, derive_score(subject, graph, launch)),
        graph_section(subject, graph),
    ]
    return folded([summary_section(subject), *sections], gists_of(subject))


def _of_strategy(subject: Subject, memory: dict[int, Figure], recovery: RecoveryFacts) -> list[Section]:
    """What is said of a strategy whatever it is a part of, findings last."""
    return [
        strategy_section(subject, memory),
        performance_section(subject),
        throughput_section(subject),
        communication_section(subject),
        balance_section(subject, memory),
        faults_section(subject, recovery),
        findings_section(subject),
    ]


def _without_strategy(problem: Problem, answer: Answer, stated: Stated, ledger: Ledger) -> list[Section]:
    sections = [
        empty_summary(answer),
        hardware_section(problem, ledger),
        model_section(problem, ledger, None, None),
        empty_strategy_section(answer.status),
        recommendations_section(advice_of(problem, stated, answer), ledger),
    ]
    return folded(sections, facts_gists(problem))


def _report(problem: Problem, answer: Answer, sections: list[Section], ledger: Ledger) -> Report:
    return report_of(problem.name, *verdict_of(problem, answer), sections, ledger.derivations)


def report_of(
    name: str, verdict: Verdict, headline: str, sections: Sequence[Section], derivations: Sequence[Derivation]
) -> Report:
    """A report of sections, dated and signed."""
    return Report(
        title=f"Parallel strategy report: {name}",
        problem=name,
        generated=_now(),
        version=__version__,
        verdict=verdict,
        headline=headline,
        sections=tuple(sections),
        derivations=tuple(derivations),
    )


def _now() -> str:
    """The time in UTC, or ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) where it is set."""
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    usable = stated.isascii() and stated.isdigit() and len(stated) < 12
    at = datetime.fromtimestamp(int(stated), UTC) if usable else datetime.now(UTC)
    return at.strftime("%Y-%m-%d %H:%M UTC")
