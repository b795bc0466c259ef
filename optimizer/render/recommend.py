"""A recommendation in words and as JSON data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.render.text import console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.sweeps.points import point_data

if TYPE_CHECKING:
    from optimizer.results.answer import ObjectiveResult
    from optimizer.results.pools import PoolsMetrics
    from optimizer.results.side_by_side import SideBySideMetrics
    from optimizer.sweeps.points import InventoryFigures, Point
    from optimizer.sweeps.recommendation import Recommendation


def print_recommendation(found: Recommendation) -> None:
    """What to get, what it does, and why nothing less is enough."""
    out = console()
    for line, style in lines(found):
        out.print(Text(line, style=style))


def lines(found: Recommendation) -> list[tuple[str, str]]:
    """(sentence, style) in order."""
    point = found.point
    if point is not None and point.inventory is not None and point.objective is not None:
        said = _inventory(found, point, point.inventory, point.objective)
    elif point is None and not found.proved and found.verified:
        said = [(_open(found), "bold yellow")]
    elif point is not None and point.disaggregated is not None and point.objective is not None:
        said = _pools(found, point, point.disaggregated.metrics, point.objective)
    elif point is not None and point.side_by_side is not None and point.objective is not None:
        said = _pools(found, point, point.side_by_side.metrics, point.objective)
    elif point is None or point.strategy is None or point.metrics is None or point.objective is None:
        proof = "; each was proved infeasible" if found.verified else " as far as was found, and that is not confirmed"
        said = [(f"Nothing that is allowed meets everything{proof}.", "bold red")]
    else:
        where = f" ({point.name})" if point.name else ""
        price = "" if point.price_per_hour is None else f", {found_price(found):,.2f} per hour"
        said = [
            (f"{count(point.gpus or 0, 'GPU')}{where}{price}: {point.strategy.label} — {_proved(found)}", "bold green")
        ]
        metrics = point.metrics
        ttft, tpot = metrics.ttft_p99_ms, metrics.tpot_p99_ms
        said.append(
            (
                f"  {count(point.strategy.data_parallel, 'replica')} with up to "
                f"{count(point.strategy.max_num_seqs, 'sequence')} each: first token "
                f"{milliseconds(ttft or 0)} at P99, each further token {milliseconds(tpot or 0)} at P99, "
                f"{milliseconds(point.objective.value)} expected per request, {metrics.availability:.5%} served.",
                "",
            )
        )
        if point.price_per_million_output_tokens is not None:
            said.append((f"  {point.price_per_million_output_tokens:,.2f} per million output tokens.", ""))
    said += [(f"  {note}", "") for note in (point.search_limits if point else ()) if "as stated for" in note]
    for below in found.below:
        name = f"{below.name}: " if below.name else ""
        said.append((f"  Not enough: {name}{count(below.gpus or 0, 'GPU')}. {below.said}", ""))
    if point is not None and point.inventory is not None:
        said.append((_counted(found), ""))
        return said
    verified = "verified by independent enumeration" if found.verified else "NOT confirmed by the verifier"
    said.append(
        (
            f"  {found.considered} sets of hardware allowed, {found.ruled_out} cheaper ones "
            f"{'proved ' if found.proved else ''}not enough{_unsettled(found)}; {verified}.",
            "",
        )
    )
    return said


def _inventory(
    found: Recommendation, point: Point, figures: InventoryFigures, objective: ObjectiveResult
) -> list[tuple[str, str]]:
    """What to get of an inventory, and what it does."""
    price = f", {found.cost:,.2f} per hour" if found.least == "price" and found.cost is not None else ""
    said = [
        (
            f"{count(point.gpus or 0, 'GPU')} ({point.name} nodes){price}: {figures.label} — {_proved(found)}",
            "bold green",
        )
    ]
    said.append(
        (
            f"  First token {_ms(figures.ttft_p99_ms)} at P99, each further token {_ms(figures.tpot_p99_ms)} at P99 (worst pool), "
            f"{milliseconds(objective.value)} expected per request, {figures.availability:.5%} served.",
            "",
        )
    )
    if point.price_per_million_output_tokens is not None:
        said.append(
            (f"  {point.price_per_million_output_tokens:,.2f} per million output tokens, of the GPUs in use.", "")
        )
    if found.ties > 1:
        said.append((f"  {found.ties} sets of nodes of that cost are enough; this is the best of those compared.", ""))
    return said


def _open(found: Recommendation) -> str:
    """Why it is not known whether anything is enough."""
    if found.tried:
        return "Nothing was found in the time limit; allow more."
    return "Nothing was found that meets everything; that there is none is not proved for each that is allowed."


def _unsettled(found: Recommendation) -> str:
    return "" if found.proved or not found.verified else " as far as was found (not each of them is settled)"


def _pools(
    found: Recommendation, point: Point, metrics: PoolsMetrics | SideBySideMetrics, objective: ObjectiveResult
) -> list[tuple[str, str]]:
    """What to get for prefill and decode pools, alone or with joint instances beside them, and what they do."""
    where = f" ({point.name})" if point.name else ""
    price = "" if point.price_per_hour is None else f", {found_price(found):,.2f} per hour"
    said = [(f"{count(point.gpus or 0, 'GPU')}{where}{price}: {point.label} — {_proved(found)}", "bold green")]
    said.append(
        (
            f"  First token {_ms(metrics.ttft_p99_ms)} at P99, each further token {_ms(metrics.tpot_p99_ms)} at P99, "
            f"{milliseconds(objective.value)} expected per request, {metrics.availability:.5%} served.",
            "",
        )
    )
    if point.price_per_million_output_tokens is not None:
        said.append(
            (f"  {point.price_per_million_output_tokens:,.2f} per million output tokens, of the GPUs in use.", "")
        )
    return said


def _proved(found: Recommendation) -> str:
    return "proved least" if found.proved else "the least found, not proved least"


def _ms(value: float | None) -> str:
    return "none" if value is None else milliseconds(value)


def _counted(found: Recommendation) -> str:
    within = found.ruled_out - found.by_bound
    open_ones = "" if found.proved or not found.verified else " (some of them not settled in the time limit)"
    verified = "the answer and those shown are verified" if found.verified else "NOT confirmed by the verifier"
    return (
        f"  {found.considered:,} sets of nodes allowed, {found.ruled_out:,} cheaper ones not enough{open_ones}: {found.by_bound:,} cost "
        f"less than any plan has in use, {within:,} lie within sets {'proved' if found.verified else 'found'} infeasible; "
        f"{count(found.tried, 'set')} searched; {verified}."
    )


def found_price(found: Recommendation) -> float:
    """Price per hour of all GPUs there are."""
    point = found.point
    assert point is not None and point.gpus_used and point.price_per_hour is not None
    return point.price_per_hour / point.gpus_used * (point.gpus or 0)


def recommendation_data(found: Recommendation) -> dict[str, Any]:
    """Everything as JSON-ready data."""
    shown = [point for point in (found.point, *found.below) if point is not None]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": _kind(found, shown),
        "least": found.least,
        "cost": found.cost,
        "point": point_data(found.point) if found.point is not None else None,
        "below": [point_data(point) for point in found.below],
        "considered": found.considered,
        "ruled_out": found.ruled_out,
        "verified": found.verified,
        "proved": found.proved,
        "by_bound": found.by_bound,
        "tried": found.tried,
        "ties": found.ties,
    }


def _kind(found: Recommendation, shown: list[Point]) -> str:
    if found.tried or any(point.inventory for point in shown):
        return "inventory"
    if found.point is not None and found.point.side_by_side is not None:
        return "side_by_side"
    return "pools" if found.point is not None and found.point.disaggregated is not None else "uniform"
