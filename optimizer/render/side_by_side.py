"""Answers with joint instances beside prefill and decode pools, as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.render.as_json import answer_data
from optimizer.render.frame import STYLES, print_foot, print_sentences, status_words
from optimizer.render.pools import pools_data
from optimizer.render.text import console, model_sentences, rules_lines, simulation_sentences, simulation_table
from optimizer.results.answer import SCHEMA_VERSION, Answer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.side_by_side import SideBySideAnswer


def side_by_side_data(answer: SideBySideAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data: each part as ``solve`` prints it by itself."""
    return mix_data(answer, "side_by_side", answer_data(answer.joint), pools_data(answer.pools), _optimum_data)


def mix_data(
    answer: SideBySideAnswer | ClusterSideBySideAnswer, kind: str, joint: dict[str, Any], pools: dict[str, Any],
    optimum_data: Callable[[Any], dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """What answers about both say of them, on either kind of hardware, around what each part says by itself.

    Args:
        optimum_data: of the best answer beside a checked one, of whichever kind.
    """
    data = {name: getattr(answer, name) for name in answer.__dataclass_fields__}
    data["optimum"] = None if answer.optimum is None else optimum_data(answer.optimum)
    for name in ("metrics", "objective", "verification", "model"):
        data[name] = asdict(data[name]) if data[name] is not None else None
    for name in ("conflicts", "repairs", "explanation", "search_limits"):
        data[name] = list(data[name])
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "strategy": None,
        "placement": None,
        "rules": [],
        "cost_source": "analytic",
        **data,
        "label": answer.label,
        "gpus": answer.gpus,
        "joint": joint,
        "pools": pools,
    }


def _optimum_data(optimum: Any) -> dict[str, Any]:
    """The best of whichever kind, as ``solve`` prints it."""
    if isinstance(optimum, SideBySideAnswer):
        return side_by_side_data(optimum)
    return answer_data(optimum) if isinstance(optimum, Answer) else pools_data(optimum)


def print_side_by_side(answer: SideBySideAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve``: one screen, or with the rules of either part (``full``)."""
    out = console()
    words = status_words(answer)
    if answer.optimum is None and answer.status == "feasible" and answer.objective.gap > 0:
        words = f"{words}, its objective within {answer.objective.gap:.2%} of a proved bound"
    out.print(Text(f"{answer.problem}: {answer.label} — {words}", STYLES[answer.status]))
    print_sentences(out, answer.explanation)
    out.print()
    out.print(_parts(answer))
    if answer.joint.simulation is not None:
        out.print(Text("  Of the joint instances, for their share of the requests:"))
        if full:
            simulation_table(out, answer.joint.simulation)
        simulation_sentences(out, answer.joint)
    if full or answer.feasible is False:
        for part in (answer.joint, answer.pools):
            rules_lines(out, part.rules)
    print_sentences(out, launch)
    if not full and answer.feasible is not False:
        out.print()
        out.print(
            Text(
                "  Next: --full shows every rule of either part; optimizer deploy writes both parts and one router "
                "in front of them."
            )
        )
    out.print()
    print_foot(out, model_sentences(answer.model, full=full), answer.verification, answer.status)


def _parts(answer: SideBySideAnswer) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "joint instances", "pools", "together"):
        table.add_column(title, justify="right" if title else "left")
    first, second, both = answer.joint, answer.pools, answer.metrics
    assert first.strategy is not None and second.strategy is not None
    assert first.metrics is not None and second.metrics is not None
    assert first.objective is not None and second.objective is not None
    table.add_row("requests", f"{answer.share:.0%}", f"{1 - answer.share:.0%}", "100%")
    table.add_row("GPUs in use", str(first.strategy.gpus), str(second.strategy.gpus), str(answer.gpus))
    for title, name in (("TTFT", "ttft"), ("TPOT", "tpot")):
        table.add_row(
            f"{title} P50 / P99",
            *(
                " / ".join(_ms(getattr(of, f"{name}_p{percentile}_ms")) for percentile in (50, 99))
                for of in (first.metrics, second.metrics, both)
            ),
        )
    values = first.objective.value, second.objective.value, answer.objective.value
    table.add_row("objective", *(milliseconds(value) for value in values))
    rates = first.metrics.max_request_rate, second.metrics.max_request_rate, both.max_request_rate
    table.add_row("most requests/s", *(f"{rate:.2f}" for rate in rates))
    table.add_row("served", *(f"{of.availability:.5%}" for of in (first.metrics, second.metrics, both)))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else milliseconds(value)
