"""Judges throughput against batch and latency, pipeline bubbles, measured figures, and shares over a target."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.explain.audit.context import Context, Stated
from optimizer.explain.audit.labels import after, before, claim
from optimizer.explain.audit.metrics import Row, is_target, labelled_metrics, metric_of
from optimizer.explain.audit.reading import Statement
from optimizer.explain.audit.result import Claim, Verdict
from optimizer.explain.audit.strategies import hypothetical
from optimizer.explain.audit.units import Amount, amounts, plain_number

GENEROUS = 1.25
"""A median is no mean: throughput has to exceed batch ÷ latency by this much before it is called impossible."""
_PROMPTS = re.compile(r"\b(?:prefill|prompt|input|total tokens|combined|peak FLOP)", re.IGNORECASE)


def judge_performance(statement: Statement, context: Context) -> Iterator[Claim]:
    """Performance figures outside tables of target and achieved."""
    if statement.line in context.command_lines or statement.line in context.rows or hypothetical(statement):
        return
    yield from _bubble(statement, context)
    yield from _throughput(statement, context)
    yield from _against_target(statement, context)
    yield from _repeated(statement, context)


def _bubble(statement: Statement, context: Context) -> Iterator[Claim]:
    text, proposed = statement.text, context.strategy
    if proposed is None or not re.search(r"\bbubbles?\b", text, re.IGNORECASE):
        return
    shares = [a for a in amounts(text) if a.dimension == "%"]
    if len(shares) != 1:
        return
    stated, stages = shares[0], proposed.pp
    if stages == 1:
        right = stated.value == 0
        yield claim(
            statement, "confirmed" if right else "refuted", "One stage leaves no pipeline bubble.", stated.text, "0 %"
        )
        return
    micro = _micro_batches(statement, context)
    if micro is None:
        needed = stages - 1 if stated.value <= 0 else (stages - 1) * (100 / stated.value - 1)
        yield claim(
            statement,
            "unsupported",
            f"The report states no number "
            f"of micro-batches; filling and "
            f"draining {stages} stages idles (PP − 1) ÷ (m + PP − 1), "
            f"so {stated.text} would need m = {needed:,.0f}.",
            stated.text,
            None,
        )
        return
    if micro.line != statement.line and re.search(r"\d\s*\)?\s*[÷/]\s*\(?\s*\d", text):
        return  # a calculation of its own, with its own number of micro-batches
    exact = 100 * (stages - 1) / (micro.value + stages - 1)
    accepted = [exact, 100 * (stages - 1) / micro.value]
    right = any(abs(value - stated.value) <= max(1.0, stated.step) for value in accepted)
    how = (
        f"(PP − 1) ÷ (m + PP − 1) = {stages - 1} ÷ {plain_number(micro.value + stages - 1)} = "
        f"{plain_number(exact)} % with the {plain_number(micro.value)} micro-batches of line {micro.line}"
    )
    yield claim(
        statement,
        "confirmed" if right else "refuted",
        how + ("." if right else f", not {stated.text}."),
        stated.text,
        f"{plain_number(exact)} %",
    )


def _micro_batches(statement: Statement, context: Context) -> Stated | None:
    for other in (statement, *context.statements):
        if (
            not other.readable
            or not re.search(r"micro-?\s?batch", other.text, re.IGNORECASE)
            or re.search(r"micro-?\s?batch size", other.text, re.IGNORECASE)
        ):
            continue
        found = before(other.text, r"micro-?\s?batch(?:es)?\b") or after(
            other.text, r"\bmicro-?\s?batch(?:es)?(?: count)?\b", ""
        )
        if found and found.amount.value >= 1 and not found.amount.unit:
            return Stated(found.amount.value, other.line, found.amount.text)
    return None


def _throughput(statement: Statement, context: Context) -> Iterator[Claim]:
    """Output tokens per second cannot exceed the sequences in flight ÷ time per token (Little's law)."""
    text = statement.text
    found = _tokens_per_second(text)
    if found is None or _PROMPTS.search(text) or is_target(text.split(":")[0]) or context.strategy is None:
        return
    amount, per_gpu = found
    gpus, replicas = context.strategy.gpus, context.strategy.dp
    latencies = [s for s in context.stated("tpot") if s.value > 0]
    batches = [b for b in context.batches if b.value >= 1]
    factor = gpus if per_gpu else 1
    per_replica = bool(re.search(r"per replica|each replica|per instance", text, re.IGNORECASE))
    if (
        latencies
        and batches
        and not re.search(
            r"speculat|draft|MTP|EAGLE", " ".join(s.text for s in context.statements if s.readable), re.IGNORECASE
        )
    ):
        middle = latencies[0]
        fastest = min(s.value for s in latencies)
        largest = max(b.value for b in batches) * (1 if per_replica else replicas)
        batch = batches[0]
        total = batch.value * (1 if per_replica else replicas)
        bound = total / (middle.value / 1e3)
        if amount.least * factor > GENEROUS * largest / (fastest / 1e3):
            each = f", {plain_number(bound / gpus)} per GPU" if per_gpu else ""
            times = f"{replicas} replicas × " if replicas > 1 and not per_replica else ""
            yield claim(
                statement,
                "contradicted",
                f"{times}{plain_number(batch.value)} sequences (line "
                f"{batch.line}) at "
                f"{plain_number(middle.value)} ms per token "
                f"(line {middle.line}) produce "
                f"at most {plain_number(total)} ÷ "
                f"{plain_number(middle.value / 1e3)} s = "
                f"{plain_number(bound)} output tokens/s{each}.",
                amount.text,
                f"at most {plain_number(bound / factor)} tokens/s",
            )
            return
    if not per_gpu and not per_replica:
        for other in context.statements:
            single = (
                _tokens_per_second(other.text)
                if other.readable and other.line != statement.line and not hypothetical(other)
                else None
            )
            if single and single[1] and not is_target(other.text.split(":")[0]):
                total = single[0].value * gpus
                if abs(total - amount.value) <= 0.02 * total + amount.step:
                    yield claim(
                        statement,
                        "confirmed",
                        f"{single[0].text} per GPU (line {other.line}) × {gpus} GPUs = {plain_number(total)} tokens/s.",
                        amount.text,
                        f"{plain_number(total)} tokens/s",
                    )
                elif amount.high == amount.value:
                    yield claim(
                        statement,
                        "contradicted",
                        f"Line {other.line} gives {single[0].text} per GPU, which "
                        f"makes {plain_number(total)} tokens/s on {gpus} GPUs.",
                        amount.text,
                        f"{plain_number(total)} tokens/s",
                    )
                return


def _tokens_per_second(text: str) -> tuple[Amount, bool] | None:
    """A token rate and whether it is of one GPU."""
    if re.search(r"[×*÷=]", text):
        return None
    label = (
        r"\b(?:tokens?|tok) ?(?:per|/) ?s(?:ec(?:ond)?)?\b(?: per GPU|/GPU)?|\b(?:token"
        r"|output|decode|generation|aggregate|overall|total)? ?throughput\b(?: per GPU)?"
    )
    rates = [a for a in amounts(text) if a.dimension == "tokens/s"]
    labelled = after(text, label, "")
    amount = (
        rates[0]
        if len(rates) == 1
        else labelled.amount
        if labelled and not rates and re.search(r"\btok", text, re.IGNORECASE)
        else None
    )
    if amount is None or amount.value <= 0:
        return None
    return amount, bool(re.search(r"per GPU|/GPU|each GPU", text, re.IGNORECASE))


def _against_target(statement: Statement, context: Context) -> Iterator[Claim]:
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
    candidates: list[Row | None] = [*rows] or [None]
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


def _repeated(statement: Statement, context: Context) -> Iterator[Claim]:
    """A measured figure in words: does the report give another one for the same metric?"""
    for metric, amount, label in labelled_metrics(statement):
        if (
            is_target(label)
            or metric.key in ("memory", "batch", "tokens", "latency")
            or metric.dimensions[0] not in (amount.dimension, "")
        ):
            continue
        if (amount.dimension and amount.dimension not in metric.dimensions) or (
            metric.key == "prefill" and amount.dimension != "ms"
        ):
            continue
        for row in context.rows.values():
            if (
                row.metric
                and row.metric.key == metric.key
                and row.metric.percentile == metric.percentile
                and (metric.percentile or amount.dimension != "ms")
            ):
                if _differs(amount, row) and not re.search(
                    r"\b(?:mean|average|avg|peak|max|min|best|worst|range)\b", label, re.IGNORECASE
                ):
                    yield claim(
                        statement,
                        "contradicted",
                        f"Line {row.line} gives {row.achieved.text}.",
                        amount.text,
                        row.achieved.text,
                    )
                else:
                    yield measured(statement, context, metric.key, metric.percentile, amount)
                return
        if metric.key in ("ttft", "prefill", "tpot", "gpu_utilization"):
            yield measured(statement, context, metric.key, metric.percentile, amount)
        return


def _differs(amount: Amount, row: Row) -> bool:
    return abs(amount.value - row.achieved.value) > max(amount.step, row.achieved.step, 0.02 * row.achieved.value)


def measured(statement: Statement, context: Context, key: str, percentile: int, amount: Amount) -> Claim:
    """A figure that a measurement gives: impossible where it beats the memory bandwidth, otherwise not to be judged."""
    floor = _fastest_token_ms(context) if key == "tpot" else 0.0
    if floor and amount.most < 0.8 * floor:
        proposed = context.strategy
        return claim(
            statement,
            "refuted",
            f"Every token reads the weights once: "
            f"with TP {proposed.tp if proposed else 1} "
            f"that alone takes {plain_number(floor)} ms at the "
            f"{plain_number(context.problem.hardware.gpu.memory_bandwidth_gb_per_s)} "
            f"GB/s of the GPU.",
            amount.text,
            f"at least {plain_number(floor)} ms",
        )
    workload = context.problem.workload
    metrics = context.costs.metrics if context.costs else None
    value = getattr(metrics, f"{key}_p{percentile}_ms", None) if metrics and percentile in (50, 99) else None
    words = "It is a measured figure, and the report states neither prompt and output lengths nor how it was measured."
    expected = None
    if value is not None:
        expected = f"{plain_number(value)} ms predicted"
        words += (
            f" For the {workload.prompt_tokens:,} + {workload.output_tokens:,} tokens "
            f"and {plain_number(workload.requests_per_s)} requests/s of the problem the "
            f"model predicts {plain_number(value)} ms."
        )
    if key == "rate" and metrics and context.costs and context.costs.strategy:
        most = next(
            (
                float(rule.actual)
                for rule in context.costs.rules
                if rule.id == "request_rate" and not isinstance(rule.actual, str)
            ),
            None,
        )
        if most is not None:
            expected = f"{plain_number(most)} requests/s predicted"
            words += (
                f" For the {workload.prompt_tokens:,} + {workload.output_tokens:,} tokens "
                f"of the problem the model predicts at most {plain_number(most)} requests/s "
                f"with {context.costs.strategy.max_num_seqs} sequences."
            )
    return claim(statement, "unsupported", words, amount.text, expected)


def _fastest_token_ms(context: Context) -> float:
    """Reading the active weights once, every TP rank its share; 0 where several tokens may come of one step."""
    if context.strategy is None:
        return 0.0
    for statement in context.statements:
        if statement.readable and re.search(
            r"speculat|draft model|\bMTP\b|EAGLE|medusa|lookahead", statement.text, re.IGNORECASE
        ):
            return 0.0
    model, gpu = context.problem.model, context.problem.hardware.gpu
    least = min(context.weight_bytes(name) for name in context.formats)
    active = least * model.active_parameters / model.parameters - model.embedding_parameters * least / model.parameters
    spread = max(context.strategy.tp, context.strategy.ep)
    return active / spread / (gpu.memory_bandwidth_gb_per_s * 1e9) * 1e3
