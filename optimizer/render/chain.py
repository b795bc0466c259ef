"""Chain answers as text for a terminal and as JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.render.frame import STYLES
from optimizer.render.text import STATUS_WORDS, console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.chain import ChainAnswer


def chain_data(answer: ChainAnswer) -> dict[str, Any]:
    """Everything in a chain answer as JSON-ready data."""
    data = asdict(answer)
    value, bound, gap = (data.pop(name) for name in ("value", "bound", "gap"))
    objective, instances = None, None
    if answer.instances is not None:
        from optimizer.render.inventory import inventory_data

        instances = inventory_data(answer.instances)
    if answer.placement:
        objective = {"value": value, "bound": bound, "gap": gap, "unit": "tokens/s", "terms": {"tokens_per_s": value}}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "chain",
        "strategy": None,
        "metrics": {"tokens_per_s": value, "bound_tokens_per_s": bound},
        "objective": objective,
        "rules": [],
        "conflicts": [],
        "repairs": [],
        "cost_source": "table" if answer.demand is None else "analytic",
        **data,
        "instances": instances,
        "optimum": chain_data(answer.optimum) if answer.optimum else None,
    }


def print_chain(answer: ChainAnswer) -> None:
    """The answer of ``solve`` for a chain problem."""
    out = console()
    what = f"{answer.value:,.1f} tokens/s" if answer.placement else "no placement"
    words = STATUS_WORDS[answer.status]
    if answer.optimum is not None:
        words = "feasible" if answer.feasible else "not feasible"
    out.print(Text(f"{answer.problem}: {what} — {words}", STYLES[answer.status]))
    for sentence in answer.explanation:
        out.print(Text("  " + sentence))
    if answer.placement:
        out.print(_placement(answer))
        out.print(Text(f"{len(answer.chains)} chain(s), by tokens/s:"))
        for chain in sorted(answer.chains, key=lambda c: -c.tokens_per_s)[:8]:
            out.print(Text(f"  {chain.tokens_per_s:10,.1f}  {len(chain.nodes)} stages  {' > '.join(chain.nodes)}"))
    verified = answer.verification
    word = "verified" if verified.passed else "NOT verified"
    said = f"{word}: {verified.checks} checks, optimality {verified.optimality}, {answer.seconds:.1f} s"
    out.print(Text(said, "" if verified.passed else "bold red"))
    for mismatch in verified.mismatches:
        out.print(Text(f"  {mismatch.what}: expected {mismatch.expected}, found {mismatch.actual}", "red"))
    for limit in answer.search_limits:
        out.print(Text(f"  {limit}", "dim"))


def _placement(answer: ChainAnswer) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, right in (("layers", True), ("node", False), ("type", False), ("partition", False)):
        table.add_column(title, justify="right" if right else "left")
    for title in ("held", "tokens/s", "of"):
        table.add_column(title, justify="right")
    for place in answer.placement:
        table.add_row(
            f"{place.start}-{place.start + place.layers - 1}",
            place.node,
            place.type,
            place.partition,
            str(place.layers),
            f"{place.tokens_per_s:,.1f}",
            f"{place.capacity_tokens_per_s:,.1f}",
        )
    return table
