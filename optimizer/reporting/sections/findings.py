"""Findings with their reasons: what is broken, what is near its limit, what is uncertain, what is strong."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.explain.uniform.why import BINDING_SHARE
from optimizer.render.text import verification_sentence
from optimizer.reporting.crossing import crossings
from optimizer.reporting.derive.faults import carries
from optimizer.reporting.derive.rules import actual_cell, slack_cell
from optimizer.reporting.document import Bullets, Figure, Mark, Section
from optimizer.reporting.subject import Subject
from optimizer.results.answer import CheckAnswer, RuleResult

Item = tuple[Mark, tuple[str | Figure, ...]]
AMPLE = 0.25


def findings_section(subject: Subject) -> Section:
    """Broken first, then risks, then strengths."""
    items = [*_broken(subject), *_risks(subject), *_strengths(subject)]
    order: dict[Mark, int] = {"fail": 0, "warn": 1, "pass": 2, "info": 3}
    return Section("findings", "Findings", (Bullets(tuple(sorted(items, key=lambda item: order[item[0]]))),))


def _figure(subject: Subject, id: str, text: str) -> str | Figure:
    """A figure with its derivation where the ledger has one, else as it is written."""
    return subject.ledger.figure(id) if id in subject.ledger else text


def _broken(subject: Subject) -> list[Item]:
    found: list[Item] = []
    for rule in subject.answer.rules:
        if rule.enabled and not rule.holds:
            actual, allowed = actual_cell(subject, rule), amount(rule.limit, rule.unit)
            found.append(("fail", (f"Broken: {rule.sentence} Here it is ", actual, f", the limit is {allowed}.")))
        elif not rule.enabled:
            found.append(("warn", (f"Switched off and not judged: {rule.sentence}",)))
    for conflict in subject.answer.conflicts:
        found.append(("fail", (conflict.sentence,)))
    return found


def _left(rule: RuleResult) -> float | None:
    """The slack of a rule that holds, as a share of its limit; None where no number says it."""
    if not rule.holds or not rule.enabled or rule.slack is None or isinstance(rule.limit, str) or not rule.limit:
        return None
    return rule.slack / abs(rule.limit)


def _risks(subject: Subject) -> list[Item]:
    found: list[Item] = []
    answer = subject.answer
    for rule in answer.rules:
        left = _left(rule)
        if left is not None and left <= BINDING_SHARE and rule.id not in ("context", "min_batch"):
            mark: Mark = "info" if rule.id == "gpu_count" else "warn"
            slack, allowed = slack_cell(subject, rule), amount(rule.limit, rule.unit)
            found.append((mark, (f"Little room: {rule.sentence} ", slack, f" to spare of {allowed}.")))
    for crossed in crossings(subject.problem, answer):
        found.append(("warn", (
            f"The prediction for {crossed.name} keeps its limit, but its interval does not: up to ",
            _figure(subject, f"95th-{crossed.name}", milliseconds(crossed.high_ms)),
            f" of {milliseconds(crossed.limit_ms)}. Measure it, or plan with requirements.margin.",
        )))  # fmt: skip
    if answer.simulation is not None and not answer.simulation.limits_hold:
        found.append(
            (
                "warn",
                ("The formulas and the simulation disagree on whether every limit holds; see the simulated figures.",),
            )
        )
    if subject.instances == 1:
        found.append(("warn", ("There is one engine instance: any loss of a GPU stops the whole service.",)))
    elif not carries(subject, 1):
        found.append(("warn", (
            "After the loss of one engine instance the rest does not carry the full demand within every limit: ",
            subject.ledger.figure("rate-without-1") if "rate-without-1" in subject.ledger else "see fault tolerance",
            " are left.",
        )))  # fmt: skip
    return found


def _strengths(subject: Subject) -> list[Item]:
    found: list[Item] = []
    answer, ledger = subject.answer, subject.ledger
    if answer.verification.passed:
        found.append(("pass", (verification_sentence(answer.verification, answer.status),)))
    if not isinstance(answer, CheckAnswer) and answer.status == "optimal" and answer.objective is not None:
        found.append(("pass", (
            "Nothing considered is better: the objective's value, ",
            _figure(subject, "objective", milliseconds(answer.objective.value)),
            " per request, equals its proven bound.",
        )))  # fmt: skip
    latencies = [limit.field for limit in subject.problem.requirements.latency_limits]
    room = [
        (left, rule.id) for rule in answer.rules if f"{rule.id}_ms" in latencies and (left := _left(rule)) is not None
    ]
    if room and len(room) == len(latencies) and min(room)[0] >= AMPLE:
        least, id = min(room)
        found.append(
            ("pass", (f"Every latency limit has at least {least:.0%} of itself to spare; {id} has the least.",))
        )
    if subject.instances > 1 and carries(subject, 1):
        found.append(("pass", ("The loss of any one engine instance is carried by the others within every limit.",)))
    if subject.shape.pp == 1:
        found.append(("info", ("There is one pipeline stage, so no GPU waits for another stage.",)))
    elif (id := f"bubble-n{subject.running}") in ledger:
        found.append(
            (
                "info",
                (
                    f"With {subject.running} sequences in progress the pipeline leaves ",
                    ledger.figure(id),
                    " of its stages' time idle.",
                ),
            )
        )
    for link in ("nvlink", "pcie", "network"):
        if (used := f"utilisation-{link}") in ledger and ledger.value(used):
            found.append(
                (
                    "info",
                    (
                        "Communication uses on average ",
                        ledger.figure(used),
                        f" of {link if link != 'nvlink' else 'NVLink'} bandwidth.",
                    ),
                )
            )
    return found
