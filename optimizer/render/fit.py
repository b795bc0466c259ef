"""Which models fit, in a terminal, and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.render.text import console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.sweeps.points import point_data

if TYPE_CHECKING:
    from optimizer.facts.workload import Workload
    from optimizer.reading.stated import Stated
    from optimizer.sweeps.fit import ModelFit

MOST_REASONS = 8


def print_fit(found: Sequence[ModelFit], stated: Stated, *, everything: bool) -> None:
    """One line a model that fits, best objective first; then how many do not, and with ``everything`` why."""
    out = console()
    fits = [one for one in found if one.point.strategy is not None]
    models, fitting = ({one.model for one in some} for some in (found, fits))
    hardware = stated.problem().hardware
    work = stated.problem().workload
    out.print(
        Text(
            f"{count(len(fitting), 'model')} of {len(models)} {'fits' if len(fitting) == 1 else 'fit'} {count(hardware.gpus, 'GPU')} "
            f"({hardware.gpu.name}) {_asked(work)} of {work.prompt_tokens:,} + {work.output_tokens:,} tokens, "
            "within the limits stated. Each strategy is proved best and verified.",
            style="bold green" if fits else "bold red",
        )
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("model", "format", "strategy"):
        table.add_column(heading, no_wrap=True)
    for heading in ("tokens/s a user", "TTFT P99", "cache tokens", "left, GiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in fits:
        table.add_row(*_cells(one))
    if fits:
        out.print(table)
        if any(not one.published for one in fits):
            out.print(
                Text(
                    "  * not the published format: such a checkpoint has to be found or made, and its answers compared."
                )
            )
        out.print(
            Text(
                "  Cache tokens are those of one replica; left is what weights, engine and one longest request leave of the fullest "
                "GPU to the cache of the others. Predicted, not measured."
            )
        )
    rest = [one for one in found if one.point.strategy is None]
    if rest and not everything:
        out.print(
            Text(
                f"  {count(len(rest), 'model')} {'does' if len(rest) == 1 else 'do'} not fit; --all names each with its reason."
            )
        )
    for one in rest if everything else ():
        out.print(Text(f"  {one.model}: {one.point.error or one.point.said}"))


def _asked(work: Workload) -> str:
    """At what rate, or by how many users."""
    return f"at {work.requests_per_s:g} requests/s" if work.users is None else f"with {work.users.words}, requests"


def _cells(one: ModelFit) -> list[str]:
    point = one.point
    strategy, metrics = point.strategy, point.metrics
    assert strategy is not None and metrics is not None
    return [
        one.model,
        one.weight_format + ("" if one.published else "*"),
        strategy.label,
        "–" if one.tokens_per_s_of_a_user is None else f"{one.tokens_per_s_of_a_user:,.0f}",
        "–" if metrics.ttft_p99_ms is None else milliseconds(metrics.ttft_p99_ms),
        f"{metrics.kv_cache_tokens:,}",
        "–" if one.left_bytes is None else f"{one.left_bytes / 2**30:,.1f}",
    ]


def fit_data(found: Sequence[ModelFit]) -> dict[str, Any]:
    """Plain data: every model, those that fit first."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "fit",
        "models": [
            {
                "model": one.model,
                "parameters": one.parameters,
                "weight_format": one.weight_format,
                "published_format": one.published,
                "fits": one.point.strategy is not None,
                "left_bytes": one.left_bytes,
                "tokens_per_s_of_a_user": one.tokens_per_s_of_a_user,
                "point": point_data(one.point),
            }
            for one in found
        ],
    }
