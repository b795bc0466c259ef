"""Judges table rows of target and achieved: is the target that of the problem, and does the row's verdict follow?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.measured import measured
from optimizer.auditing.metrics import FAIL, PASS, MetricRow
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import plain_number
from optimizer.results.audit import Claim


def judge_row(statement: Statement, context: Context) -> Iterator[Claim]:
    """Up to three claims: the target, the comparison, and the achieved figure."""
    row = context.rows.get(statement.line)
    if row is None or _counts_something_else(statement, row):
        return
    wrong_target = _target(statement, context, row)
    if wrong_target:
        yield wrong_target
    compared = _comparison(statement, row)
    known_wrong = any(
        kind == "utilisation" and abs(value - row.achieved.value) < 1e-9 for kind, value, *_ in context.wrong
    )
    if compared and not (known_wrong and row.metric and row.metric.key == "memory"):
        yield compared
    if (
        row.metric
        and row.metric.key in ("ttft", "prefill", "tpot", "gpu_utilization", "rate")
        and row.achieved.dimension in row.metric.dimensions
    ):
        yield measured(statement, context, row.metric.key, row.metric.percentile, row.achieved)


_WHOLE_REQUEST = re.compile(
    r"\W*(?:E2E|end[- ]to[- ]end|whole request|complete request|ganze Anfrage|Gesamtlatenz|requête (?:complète|entière)|bout en bout)\b",
    re.IGNORECASE,
)
_PERCENTILE = re.compile(r"\bP(50|99)\b", re.IGNORECASE)


def _counts_something_else(statement: Statement, row: MetricRow) -> bool:
    """Whether the target has a unit that is not known here ("133 sequences"), and with it another meaning than the row's title."""
    return not row.target.unit and bool(re.search(re.escape(row.target.text) + r"\s+[A-Za-z]", statement.text))


def _target(statement: Statement, context: Context, row: MetricRow) -> Claim | None:
    """A target that is not what the problem demands."""
    needs, demanded, unit = context.problem.requirements, None, ""
    whole = _WHOLE_REQUEST.match(row.title)
    if row.metric is None and not (whole and row.target.dimension == "ms"):
        return None
    if row.metric is None:
        marks = _PERCENTILE.findall(row.title)
        demanded, unit = getattr(needs, f"e2e_p{marks[0]}_ms") if len(marks) == 1 else None, "ms"
    elif (
        row.metric.key in ("ttft", "prefill", "tpot")
        and row.metric.percentile in (50, 99)
        and row.target.dimension == "ms"
    ):
        demanded, unit = getattr(needs, f"{row.metric.key}_p{row.metric.percentile}_ms"), "ms"
    elif row.metric.key == "rate":
        demanded, unit = context.problem.workload.requests_per_s, "requests/s"
    if demanded is None or any(
        abs(one.value - demanded) <= 0.005 * demanded + one.step * 0.01 for one in (row.target, row.achieved)
    ):
        return None  # stated, in whichever column the headings mean
    return Claim(
        statement.line,
        statement.text,
        "refuted",
        f"The problem demands {plain_number(demanded)} {unit} for {row.title}, not {row.target.text}.",
        row.target.text,
        f"{plain_number(demanded)} {unit}",
    )


def _comparison(statement: Statement, row: MetricRow) -> Claim | None:
    if row.metric is None or not row.status:
        return None
    fails, passes = bool(FAIL.search(row.status)), bool(PASS.search(row.status))
    if not fails and not passes:
        passes = "exceed" in row.status.lower() and row.metric.higher_is_better
    if fails == passes:
        return None
    better = row.metric.higher_is_better
    holds = row.achieved.value >= row.target.value if better else row.achieved.value <= row.target.value
    relation = ("at least" if holds else "below") if better else ("within" if holds else "above")
    words = f"{row.achieved.text} is {relation} the target of {row.target.text}"
    if row.target.unit == "" and row.achieved.unit == "":
        words = f"{row.achieved.text} is {relation} {row.target.text}"
    if holds == passes:
        return Claim(
            statement.line,
            statement.text,
            "confirmed",
            words + ": the row's verdict follows from its figures.",
            row.achieved.text,
            None,
        )
    return Claim(
        statement.line,
        statement.text,
        "refuted",
        f"{words}: the row's verdict '{row.status}' does not follow.",
        row.status,
        "not met" if passes else "met",
    )
