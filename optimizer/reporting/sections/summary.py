"""Summary and verdict: what was found, in a sentence and six figures."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount, count
from optimizer.explain.uniform.why import broken_sentences, lacking_sentences, near_sentences
from optimizer.facts.problem import Problem
from optimizer.render.text import costs_sentence, verification_sentence
from optimizer.reporting.crossing import crossings
from optimizer.reporting.derive.price import PRICES
from optimizer.reporting.document import Block, Bullets, Cell, Column, Mark, Picture, Section, Table, Text, Verdict
from optimizer.reporting.limits import limit_bars
from optimizer.reporting.subject import Subject
from optimizer.results.answer import Answer, CheckAnswer


def verdict_of(problem: Problem, answer: Answer) -> tuple[Verdict, str]:
    """The verdict and its headline; a pass whose interval crosses a limit is one by prediction."""
    broken = [rule for rule in answer.rules if rule.enabled and not rule.holds]
    label = answer.strategy.label if answer.strategy else ""
    if answer.status == "unknown" or (isinstance(answer, CheckAnswer) and answer.feasible is None):
        return "unknown", "Not decided within the time limit"
    if answer.strategy is None:
        return "fail", "No strategy keeps every rule"
    if broken:
        return "fail", f"{label} breaks {count(len(broken), 'rule')}"
    return "pass", _passed(label, problem, answer) + _price(answer)


def _passed(label: str, problem: Problem, answer: Answer) -> str:
    crossed = crossings(problem, answer)
    if crossed:
        best = "; it is proved best" if answer.status == "optimal" else ""
        return f"{label} passes by prediction: measure first ({crossed[0].sentence}){best}"
    if answer.status == "optimal":
        return f"{label} keeps every rule and is proved best"
    if isinstance(answer, CheckAnswer):
        return f"{label} keeps every rule, but is not the best"
    return f"{label} keeps every rule; whether it is the best is not proved"


def _price(answer: Answer) -> str:
    """What it costs, where prices are known."""
    metrics = answer.metrics
    if metrics is None or metrics.price_per_hour is None:
        return ""
    tokens = metrics.price_per_million_output_tokens
    return f". Price: {metrics.price_per_hour:,.2f} per hour" + (
        "" if tokens is None else f", {tokens:,.2f} per million output tokens"
    )


def summary_section(subject: Subject) -> Section:
    """For an answer with a strategy."""
    ledger, metrics = subject.ledger, subject.metrics
    rows: list[tuple[Cell, ...]] = [("GPUs in use", ledger.figure("gpus-used"))]
    for name, words in (("ttft_p99_ms", "Time to first token, P99"), ("tpot_p99_ms", "Time per output token, P99"),
                        ("request_mean_ms", "Whole request, mean")):  # fmt: skip
        value = getattr(metrics, name)
        rows.append((words, ledger.figure(name) if name in ledger else amount(value, "ms")))
    rows += [(words, ledger.figure(name)) for name, words in PRICES.items() if name in ledger]
    rows += [
        ("Largest request rate within all limits", ledger.figure("max_request_rate")),
        ("Memory of the fullest GPU", ledger.figure("memory")),
        ("Requests served, failures counted", ledger.figure("availability")),
        ("Compatibility score", ledger.figure("score")),
    ]
    blocks: list[Block] = [
        Picture("limits", "Against the limits", _limits_alt(subject)),
        Table("key-figures", (Column("what", "Figure"), Column("value", "Value", right=True)), tuple(rows)),
        Text((_recommendation(subject),)),
        *_sentences(subject),
        *basis(subject.answer),
    ]
    return Section("summary", "Summary and verdict", tuple(blocks))


def _limits_alt(subject: Subject) -> str:
    """What the picture of limits shows, in words."""
    said = [f"{bar.words} {bar.figures}" for bar in limit_bars(subject)]
    return f"Each figure as a share of its limit: {'; '.join(said)}. Lines show where 90 % of measurements of such predictions fell."


def _sentences(subject: Subject) -> list[Block]:
    broken = set(broken_sentences(subject.answer.rules))
    near = {
        *near_sentences(subject.problem, subject.answer.rules),
        *lacking_sentences(subject.strategy, subject.metrics),
    }

    def mark(sentence: str) -> Mark:
        return "fail" if sentence in broken else "warn" if sentence in near else "info"

    return [Bullets(tuple((mark(sentence), (sentence,)) for sentence in subject.answer.explanation))]


def _recommendation(subject: Subject) -> str:
    verdict, _ = verdict_of(subject.problem, subject.answer)
    if verdict == "fail":
        return "Deployment recommendation: do not deploy this as it is. “Recommendations” lists changes that work, each solved again."
    answer = subject.answer
    if isinstance(answer, CheckAnswer) and answer.status != "optimal":
        return "Deployment recommendation: it may be deployed; “Recommendations” names what is better."
    return (
        "Deployment recommendation: deploy, and measure the latencies under load before relying on them; they are predictions. "
        "“Findings” lists what has little room."
    )


def basis(answer: Answer) -> list[Block]:
    """What was verified, where costs come from, and what was not considered."""
    said = [
        verification_sentence(answer.verification, answer.status),
        costs_sentence(answer.cost_source).strip(),
        *answer.search_limits,
    ]
    said += [
        f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}" for one in answer.verification.mismatches
    ]
    folded = "What was verified, what costs rest on, and what was not considered" if answer.verification.passed else ""
    return [Bullets(tuple(("info", (sentence,)) for sentence in said), folded)]


def empty_summary(answer: Answer) -> Section:
    """For an answer without a strategy."""
    broken = set(broken_sentences(answer.rules))

    def mark(sentence: str) -> Mark:
        return "fail" if sentence in broken else "info"

    said = Bullets(tuple((mark(one), (one,)) for one in answer.explanation))
    blocks: list[Block] = [said, *basis(answer)]
    return Section("summary", "Summary and verdict", tuple(blocks))
