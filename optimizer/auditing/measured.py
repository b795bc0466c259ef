"""Measured figures: impossible where they beat the memory bandwidth, contradicted by another line, otherwise unsupported."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.metrics import MetricRow, is_target, labelled_metrics
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import Amount, plain_number
from optimizer.results.audit import Claim


def judge_measured(statement: Statement, context: Context) -> Iterator[Claim]:
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


def _differs(amount: Amount, row: MetricRow) -> bool:
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
