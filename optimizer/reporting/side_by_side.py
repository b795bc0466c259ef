"""The report of joint instances beside prefill and decode pools: both together, then each part as in a report of its own.

``docs/report.md``; ``docs/disaggregated.md``, section 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.facts.recovery import RecoveryFacts
from optimizer.facts.side_by_side import BesideSplit, joint_part, pools_part
from optimizer.render.text import costs_sentence, verification_sentence
from optimizer.reporting.build import Built, part_of_strategy
from optimizer.reporting.document import Block, Bullets, Cell, Column, Derivation, Section, Table, Text, Verdict
from optimizer.reporting.folding import facts_gists, folded
from optimizer.reporting.inventory import placement_section, points
from optimizer.reporting.ledger import Ledger, ms, number, share
from optimizer.reporting.part import ReportPart
from optimizer.reporting.pools import pools_sections
from optimizer.reporting.sections.hardware import hardware_section
from optimizer.reporting.sections.model import model_section
from optimizer.results.place_beside import place_joint_part, place_pools_part
from optimizer.results.side_by_side import SideBySideAnswer

DOCS = "docs/disaggregated.md, section 14"
SLOWER = {
    "ttft_p50_ms": "First token, P50",
    "ttft_p99_ms": "First token, P99",
    "tpot_p50_ms": "Each further token, P50",
    "tpot_p99_ms": "Each further token, P99",
}
"""Percentiles of which no one of all requests lies above that of the slower part."""
OF_THE_WHOLE = frozenset({"summary", "placement", "launch"})
"""Sections that are said once of both parts."""


@dataclass(frozen=True, slots=True)
class BesideReport:
    """What the report of both consists of; ``joint`` draws its pictures."""

    sections: list[Section]
    derivations: list[Derivation]
    joint: Built


def side_by_side_verdict(answer: SideBySideAnswer) -> tuple[Verdict, str]:
    """The verdict and its headline."""
    broken = [
        f"{rule.id} ({part})" for part, of in _named(answer) for rule in of.rules if rule.enabled and not rule.holds
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
    parts = _parts(problem, answer, ledger, joint.report.derivations, own.derivations)
    placed = _placement(problem, answer, split)
    sections = [
        _summary(answer, ledger),
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


def _named(answer: SideBySideAnswer) -> list[tuple[str, Any]]:
    return [("joint instances", answer.joint), ("pools", answer.pools)]


def _parts(
    problem: Problem,
    answer: SideBySideAnswer,
    ledger: Ledger,
    joint: tuple[Derivation, ...],
    pools: tuple[Derivation, ...],
) -> Section:
    """What either part is sent, has and delivers, and both together; every figure of both from those of the parts."""
    first, second, both = answer.joint.metrics, answer.pools.metrics, answer.metrics
    assert answer.joint.objective is not None and answer.pools.objective is not None
    assert answer.joint.strategy is not None and answer.pools.strategy is not None
    assert first is not None and second is not None
    rate, sigma, rest = problem.workload.requests_per_s, answer.share, 1 - answer.share
    sent = [
        ledger.derive(
            f"sent-{part}", f"Requests sent to the {words}", "requests/s × their share",
            f"{number(rate)} requests/s × {number(share_of)}", rate * share_of, "requests/s",
            note=f"{DOCS}: whole tenths, dealt at random",
        )
        for part, words, share_of in (("joint", "joint instances", sigma), ("pools", "pools", rest))
    ]  # fmt: skip
    own = answer.joint.objective.value, answer.pools.objective.value
    value = ledger.derive(
        "objective", "Expected per request over all failure states", "σ × joint instances + (1 − σ) × pools",
        f"{number(sigma)} × {ms(own[0])} + {number(rest)} × {ms(own[1])}", answer.objective.value, "ms",
        note=DOCS,
    )  # fmt: skip
    used = answer.joint.strategy.gpus, answer.pools.strategy.gpus
    gpus = ledger.derive(
        "gpus-used", "GPUs in use", "those of both parts", f"{used[0]} + {used[1]}", answer.gpus, "GPUs"
    )
    rates = first.max_request_rate, second.max_request_rate
    most = ledger.derive(
        "max_request_rate", "Largest request rate within all limits", "min(joint instances / σ, pools / (1 − σ))",
        f"min({number(rates[0])} requests/s / {number(sigma)}, {number(rates[1])} requests/s / {number(rest)})",
        both.max_request_rate, "requests/s", note=f"{DOCS}: shares kept",
    )  # fmt: skip
    served = ledger.derive(
        "availability", "Requests served, failures counted", "the mean by shares",
        f"({number(sigma)} × {number(first.availability, 15)} + {number(rest)} × {number(second.availability, 15)}) × 100%",
        both.availability * 100, "%", text=share(both.availability), note=DOCS,
    )  # fmt: skip
    ledger.derive(
        "tokens_per_s", "Output tokens per second at the demand", "requests per second × output tokens",
        f"{number(rate)} requests/s × {problem.workload.output_tokens}", both.tokens_per_s, "tokens/s",
    )  # fmt: skip
    price = problem.hardware.price_per_gpu_hour
    if price is not None:
        ledger.derive(
            "price_per_hour", "Price per hour", "GPUs in use × price of a GPU-hour", f"{answer.gpus} × {number(price)}",
            price * answer.gpus, "", text=f"{price * answer.gpus:,.2f}", note="hardware.price_per_gpu_hour",
        )  # fmt: skip
    found = {"joint": {one.id: one.figure for one in joint}, "pools": {one.id: one.figure for one in pools}}
    names = ReportPart("joint", ""), ReportPart("pools", "")

    def of(id: str) -> list[Cell]:
        """The figure of either part, which links to the part's own derivation."""
        cells: list[Cell] = []
        for part in names:
            figure = found[part.id].get(id)
            cells.append("–" if figure is None else part.figure(figure))
        return cells

    rows: list[tuple[Cell, ...]] = [
        ("Sent", *sent, f"{number(rate)} requests/s"),
        ("Share of the requests", f"{sigma:.0%}", f"{rest:.0%}", "100%"),
        (
            "GPUs set apart",
            f"{answer.joint_gpus}",
            f"{problem.hardware.gpus - answer.joint_gpus}",
            f"{problem.hardware.gpus}",
        ),
        ("GPUs in use", *of("gpus-used"), gpus),
    ]
    for name, words in SLOWER.items():
        values = [getattr(one, name) for one in (first, second)]
        together: Cell = "requests pile up"
        if getattr(both, name) is not None:
            together = ledger.derive(
                name, words, "of the slower part", f"max({ms(values[0])}, {ms(values[1])})", getattr(both, name), "ms",
                note=f"{DOCS}: no percentile of all requests lies above it",
            )  # fmt: skip
        rows.append((words, *of(name), together))
    rows += [
        ("Expected per request, failures counted", *of("objective"), value),
        ("Largest request rate within all limits", *of("max_request_rate"), most),
        ("Requests served, failures counted", *of("availability"), served),
    ]
    columns = (
        Column("what", "Figure"), Column("joint", "Joint instances", right=True), Column("pools", "Pools", right=True),
        Column("together", "Together", right=True),
    )  # fmt: skip
    labels = answer.joint.strategy.label, answer.pools.label
    said = (
        f"Joint instances, {labels[0]}, are sent {sigma:.0%} of the requests, pools, {labels[1]}, the other {rest:.0%}; "
        "a router picks one at random for each request. Either part has GPUs of its own and keeps every rule by itself, losses too."
    )
    return Section("parts", "Both parts", (Text((said,)), Table("parts", columns, tuple(rows))))


def _summary(answer: SideBySideAnswer, ledger: Ledger) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (words, ledger.figure(name))
        for name, words in (
            ("objective", "Expected per request, failures counted"),
            ("gpus-used", "GPUs in use"),
            ("ttft_p99_ms", "First token, P99"),
            ("tpot_p99_ms", "Each further token, P99"),
            ("max_request_rate", "Largest request rate within all limits"),
            ("tokens_per_s", "Output tokens per second at the demand"),
            ("availability", "Requests served, failures counted"),
            ("price_per_hour", "Price per hour of the GPUs in use"),
        )
        if name in ledger
    ]
    columns = (Column("what", "Figure"), Column("value", "Value", right=True))
    blocks: list[Block] = [Table("key-figures", columns, tuple(rows)), points(answer.explanation)]
    said = [
        f"Of both together. {verification_sentence(answer.verification, answer.status)}",
        *(
            f"Of the {part} by themselves. {verification_sentence(of.verification, of.status)}"
            for part, of in _named(answer)
        ),
        costs_sentence("analytic").strip(),
        *answer.search_limits,
    ]
    wrong = [
        f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}"
        for of in (answer, answer.joint, answer.pools)
        for one in of.verification.mismatches
    ]
    folds = "" if wrong else "What was verified, what costs rest on, and what was not considered"
    blocks.append(Bullets((*points(said).items, *points(wrong, "fail").items), folds))
    return Section("summary", "Summary and verdict", tuple(blocks))


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
    verified = answer.verification.passed and all(of.verification.passed for _, of in _named(answer))
    if not verified:
        return Section("launch", "Launch commands", (Text(("None are named: the answer is not verified.",)),))
    said = (
        "optimizer deploy writes both parts, two services of one model, and one router in front of them that sends "
        f"{answer.share:.0%} of the requests to the joint instances."
    )
    return Section("launch", "Launch commands", (Text((said,)),))
