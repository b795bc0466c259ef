"""Each requirement: target, prediction with interval, simulation, margin, pass or fail; and where the time goes."""

from __future__ import annotations

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.reporting.crossing import crossings
from optimizer.reporting.derive.rules import actual_cell, limit_cell, signed, slack_cell
from optimizer.reporting.document import Block, Cell, Column, Figure, Picture, Section, Status, Table, Text
from optimizer.reporting.ledger import ms, number
from optimizer.reporting.subject import Subject
from optimizer.results.answer import PredictionIntervals, RuleResult
from optimizer.results.rule_groups import survived_level

NAMES = {"prefill": "Prefill", "ttft": "Time to first token", "tpot": "Time per output token (decode)"}
FROM_METRICS = ("max_batch", "min_batch", "concurrency", "request_rate", "memory", "tpot_full_batch")


def performance_section(subject: Subject) -> Section:
    """The table of requirements, then latencies that nothing was asked of, and the simulation."""
    rows = [_latency(subject, metric, percentile) for metric in NAMES for percentile in (50, 99)]
    others = [rule for rule in subject.answer.rules if rule.id in FROM_METRICS or survived_level(rule.id)]
    columns = (
        Column("requirement", "Requirement"), Column("target", "Target", right=True), Column("predicted", "Predicted", right=True),
        Column("interval", "5–95 % of measurements", right=True), Column("simulated", "Simulated ± 95 %", right=True),
        Column("margin", "Margin", right=True), Column("status", "Status"),
    )  # fmt: skip
    table = Table("requirements", columns, (*rows, *(_rule(subject, rule) for rule in others)), "Requirements",
                  *(() if any(rule.enabled and not rule.holds for rule in others) else (_others(len(others)), len(rows))))  # fmt: skip
    blocks: list[Block] = [Text((_basis(subject),)), table]
    blocks += [Text((sentence,)) for sentence in _simulation(subject)]
    margin = subject.problem.requirements.margin
    if margin:
        blocks.append(Text((
            f"requirements.margin is {margin:g}: a latency limit holds when the prediction × {1 + margin:g} is within it. "
            "Margins in the table are to the stated target.",
        )))  # fmt: skip
    if subject.answer.breakdown is not None:
        blocks.append(Picture("latency", "Where the time goes", _latency_alt(subject)))
    return Section("performance", "Performance against requirements", tuple(blocks))


def _others(many: int) -> str:
    """What the rows are folded under that hold and are no latencies."""
    return f"{count(many, 'further rule')} beside latencies, which hold" if many else ""


def _basis(subject: Subject) -> str:
    work = subject.problem.workload
    longest = "" if work.prompt_tokens_p99 is None else f" (P99 {work.prompt_tokens_p99:,})"
    return (
        f"Workload: {work.requests_per_s:g} requests/s at random (Poisson), {work.prompt_tokens:,} prompt tokens{longest} and "
        f"{work.output_tokens:,} output tokens on average, shared evenly by {subject.strategy.data_parallel} "
        f"replica{'s' if subject.strategy.data_parallel > 1 else ''}. Figures are predicted by {subject.problem.cost_source} "
        "costs and not measured."
    )


def _latency(subject: Subject, metric: str, percentile: int) -> tuple[Cell, ...]:
    name = f"{metric}_p{percentile}_ms"
    target: float | None = getattr(subject.problem.requirements, name)
    predicted: float | None = getattr(subject.metrics, name)
    off = name.removesuffix("_ms") in subject.problem.search.disabled_rules
    value: Cell = "piles up"
    if predicted is not None:
        value = Figure(milliseconds(predicted), predicted, "ms", name if name in subject.ledger else None)
    interval: Cell = "–"
    seen = subject.answer.intervals
    if seen is not None and name in seen.ranges:
        interval = _interval(subject, name, seen)
    simulated: Cell = "–"
    played = subject.answer.simulation
    if played is not None and name in played.percentiles:
        ms, half = played.percentiles[name]
        simulated = f"{milliseconds(ms)} ± {milliseconds(half)}"
    label = f"{NAMES[metric]}, P{percentile}"
    if target is None:
        return label, "none", value, interval, simulated, "", Status("info", "not required")
    margin: Cell = ""
    if predicted is not None:
        left = target - predicted
        margin = _margin(subject, name, target, predicted, f"{signed(left, 'ms')} ({left / target:.0%})")
    rule = next((rule for rule in subject.answer.rules if rule.id == name.removesuffix("_ms")), None)
    if name in {crossed.name for crossed in crossings(subject.problem, subject.answer)} and not off:
        return (
            label,
            Figure(milliseconds(target), target, "ms"),
            value,
            interval,
            simulated,
            margin,
            Status("warn", "measure first"),
        )
    return label, Figure(milliseconds(target), target, "ms"), value, interval, simulated, margin, _mark(rule, off)


def _interval(subject: Subject, name: str, seen: PredictionIntervals) -> Text:
    """Both ends, each the prediction times what measurements were of such predictions, or may be."""
    predicted, parts = getattr(subject.metrics, name), []
    for end, factor, words in zip(seen.ranges[name], seen.factors[name], ("5th", "95th"), strict=True):
        parts.append(subject.ledger.derive(
            f"{words}-{name}", f"Where the {words} percentile of measurements of {name} would fall",
            "predicted × measured / predicted, as in runs like this or as far as physics allows", f"{ms(predicted)} × {number(factor)}",
            end, "ms", note=f"{seen.basis}; docs/accuracy.md", inputs=(name,),
        ))  # fmt: skip
    return Text((parts[0], " to ", parts[1]))


def _margin(subject: Subject, name: str, target: float, predicted: float, text: str) -> Figure:
    return subject.ledger.derive(
        f"margin-{name}", f"Margin of {name}", "target − predicted", f"{ms(target)} − {ms(predicted)}", target - predicted, "ms",
        text=text, note=f"target: requirements.{name}; the share is of the target", inputs=(name,),
    )  # fmt: skip


def _mark(rule: RuleResult | None, off: bool) -> Status:
    if off or rule is None or not rule.enabled:
        return Status("info", "switched off")
    return Status("pass", "pass") if rule.holds else Status("fail", "fail")


LABELS = {
    "max_batch": "Sequences per replica at most",
    "min_batch": "Sequences per replica at least",
    "concurrency": "Sequence slots for P99 of the load",
    "request_rate": "Requests completed with all slots in use",
    "memory": "Memory of the fullest GPU",
    "tpot_full_batch": "Time per output token with every slot taken",
}


def _rule(subject: Subject, rule: RuleResult) -> tuple[Cell, ...]:
    cells = (limit_cell(rule), actual_cell(subject, rule), "–", "–", slack_cell(subject, rule))
    return LABELS.get(rule.id, rule.sentence), *cells, _mark(rule, not rule.enabled)


def _simulation(subject: Subject) -> list[str]:
    seen, intervals = subject.answer.simulation, subject.answer.intervals
    said = []
    if intervals is not None:
        said.append(
            f"Intervals: {intervals.basis}. They hold for a prediction of this kind, not for this very machine."
        )
    if seen is None:
        said.append("Not simulated: the replica is overloaded, or the costs have another source than the simulator's.")
        return said
    verdict = "every stated limit holds" if seen.limits_hold else "not every stated limit holds"
    said.append(
        f"Simulated: {seen.requests:,} requests at one replica ({seen.arrivals}; seed {seen.seed}), request by request with the "
        f"same step times; {verdict}."
    )
    return [*said, *seen.disagreements]


def _latency_alt(subject: Subject) -> str:
    parts = subject.answer.breakdown or {}

    def words(terms: dict[str, float]) -> str:
        return ", ".join(f"{name} {milliseconds(value)}" for name, value in terms.items())

    return (
        f"Stacked bars. One token for {parts['sequences_in_progress']} running sequences takes {milliseconds(parts['round_ms'])}: "
        f"{words(parts['decode_ms'])}. One prompt of {subject.problem.workload.prompt_tokens:,} tokens: {words(parts['prefill_ms'])}."
    )
