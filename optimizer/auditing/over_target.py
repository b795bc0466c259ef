"""Judges shares over or under a target: ``20% above target requests per second``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.metrics import MetricRow, metric_of
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import amounts, plain_number
from optimizer.results.audit import Claim, Verdict


def judge_share_of_target(statement: Statement, context: Context) -> Iterator[Claim]:
    """``20% above target requests per second`` against the figures of target and achieved."""
    text = statement.text
    found = re.search(
        r"(\d+(?:\.\d+)?)\s?(?:%|percent) (?P<way>above"
        r"|over|more than|higher than"
        r"|faster than|better than|below"
        r"|under|less than|lower than|beyond)"
        r" (?:the |its |our )?(?:[\w/.]+ ){0,3}(?:target|requirement|goal|SLO|SLA|limit|budget)",
        text,
        re.IGNORECASE,
    )
    found = found or re.search(
        r"(?P<way>exceed\w*|beat\w*|outperform\w*) (?:the "
        r"|its |our )?(?:[\w/]+ ){0,4}(?:target"
        r"|requirement|goal)s?[^.;]{0,30}? by (?:about "
        r"|around |~)?(\d+(?:\.\d+)?)\s?(?:%|percent)",
        text,
        re.IGNORECASE,
    )
    if not found:
        return
    number = next(g for g in found.groups() if g and re.fullmatch(r"[\d.]+", g))
    stated = float(number)
    step = 0.5 * 10 ** -(len(number.split(".")[1]) if "." in number else 0)
    both = [a.value for a in amounts(text) if a.dimension == "requests/s"]
    if len(both) == 2 and min(both) > 0:
        yield _share_of_two(statement, both, stated, step, number)
        return
    metric = metric_of(text)
    rows = [
        row
        for row in context.rows.values()
        if row.metric and metric and row.metric.key == metric.key and metric.percentile in (0, row.metric.percentile)
    ]
    if not rows and metric and (made := _pair(context, metric.key, metric.percentile)):
        target, achieved, where = made
    elif rows:
        target, achieved, where = rows[0].target.value, rows[0].achieved.value, f"line {rows[0].line}"
    else:
        return
    candidates: list[MetricRow | None] = [*rows] or [None]
    for row in candidates:
        t, a = (row.target.value, row.achieved.value) if row else (target, achieved)
        if (
            t > 0
            and a > 0
            and any(abs(100 * value - stated) <= max(0.6, step * 1.01) for value in (abs(a / t - 1), abs(t / a - 1)))
        ):
            yield claim(
                statement,
                "confirmed",
                f"{plain_number(a)} against {plain_number(t)} "
                f"({f'line {row.line}' if row else where}) is {abs(a / t - 1):.1%} off the target.",
                f"{number} %",
                f"{plain_number(abs(100 * (a / t - 1)))} %",
            )
            return
    if len(rows) > 1 or target <= 0:
        return
    difference = 100 * (achieved / target - 1)
    way = "above" if difference >= 0 else "below"
    unit = (
        rows[0].achieved.unit or {"rate": "requests/s", "tokens": "tokens/s"}.get(metric.key if metric else "", "")
        if rows
        else ""
    )
    share = abs(difference)
    figures = f"{plain_number(achieved)} {unit}".rstrip() + f" against {plain_number(target)} ({where})"
    ratio = f"{plain_number(achieved)} ÷ {plain_number(target)} − 1 = {share:.2f} % ({share:.0f} %) {way} target"
    reason = f"{figures} is {ratio}, not {number} %."
    yield claim(statement, "refuted", reason, f"{number} %", f"{plain_number(share)} %")


def _share_of_two(statement: Statement, both: list[float], stated: float, step: float, number: str) -> Claim:
    """A share over a target of requests/s, where the sentence itself gives both figures."""
    most, least = max(both), min(both)
    shares = [100 * (most / least - 1), 100 * (1 - least / most)]
    right = any(abs(share - stated) <= max(0.6, step * 1.01) for share in shares)
    how = f"{plain_number(most)} ÷ {plain_number(least)} − 1 = {shares[0]:.2f} %"
    verdict: Verdict = "confirmed" if right else "refuted"
    return claim(
        statement, verdict, how + ("." if right else f", not {number} %."), f"{number} %", f"{shares[0]:.2f} %"
    )


def _pair(context: Context, key: str, percentile: int) -> tuple[float, float, str] | None:
    """Target and achieved of a metric from separate lines, where each is stated once."""
    achieved, targets = context.stated(key, percentile or None), context.stated(key, percentile or None, target=True)
    demand = context.problem.workload.requests_per_s if key == "rate" else None
    if len({s.value for s in achieved}) != 1 or len({s.value for s in targets}) > 1 or not (targets or demand):
        return None
    target = targets[0].value if targets else float(demand or 0)
    lines = f"line {achieved[0].line}" + (f" and {targets[0].line}" if targets else " and the problem")
    return target, achieved[0].value, lines
