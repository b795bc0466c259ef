"""Tables of a chain's nodes where they follow from facts (``costs: analytic``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError

if TYPE_CHECKING:
    from optimizer.costs.chain_nodes import NodeTable

_STARTS = "the analytic model"
_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Batches among which one is chosen where none is stated."""


def priced(problem: ChainProblem) -> ChainProblem:
    """The problem with tokens/s by layers for every type; one that states tables comes back as it is.

    Where no batch is stated it is the one with which the nodes, one after the other and with no regard to links, carry most.

    Raises:
        ProblemError: a type's GPUs cannot run the model as one group.
    """
    if problem.costs != "analytic" or problem.costs_source.startswith(_STARTS) or problem.workload is None:
        return problem
    from optimizer.costs.chain_nodes import NodeCosts

    for name in problem.cluster.types:
        _refuse_what_cannot_run(problem, name)
    costs = {name: NodeCosts(problem.alone[name]) for name in problem.cluster.types}
    best, most = None, (-1.0, -1)
    for batch in (problem.workload.batch,) if problem.workload.batch is not None else _BATCHES:
        tables = {name: one.table(batch, problem.held_batches) for name, one in costs.items()}
        reached = _one_line(problem, tables)
        if reached > most:
            best, most = (batch, tables), reached
    assert best is not None
    batch, tables = best
    types = {
        name: kind.model_copy(
            update={
                # A node that holds not even one layer carries nothing with it.
                "throughput_tokens_per_s_by_layers": tables[name].tokens_per_s or {1: 0.0},
                "time_ms_by_layers": tables[name].time_ms or {1: 0.001},
            }
        )
        for name, kind in problem.cluster.types.items()
    }
    source = (
        f"{_STARTS} (docs/model.md, section 10), with {batch} requests in a step and the cache of "
        f"{problem.held_batches} such batches held by every node"
    )
    if problem.workload.batch is None:
        source += "; no other number was searched with (workload.batch)"
    return problem.model_copy(
        update={
            "cluster": problem.cluster.model_copy(update={"types": types}),
            "workload": problem.workload.model_copy(update={"batch": batch}),
            "costs_source": source,
        }
    )


def _one_line(problem: ChainProblem, tables: Mapping[str, NodeTable]) -> tuple[float, int]:
    """(Tokens/s that all nodes one after the other carry, layers that they hold): no links, each node as many layers as it can."""
    counts = Counter(node.type for node in problem.cluster.nodes)
    held = sum(count * len(tables[name].tokens_per_s) for name, count in counts.items())
    rates = sorted({rate for table in tables.values() for rate in table.tokens_per_s.values()}, reverse=True)
    for rate in rates:
        layers = sum(
            n * sum(other >= rate for other in tables[name].tokens_per_s.values()) for name, n in counts.items()
        )
        if layers >= problem.model.layers:
            return rate, held
    return 0.0, held


def _refuse_what_cannot_run(problem: ChainProblem, name: str) -> None:
    from optimizer.verify.chain.nodes import broken_rule

    wrong, kind = broken_rule(problem.alone[name]), problem.cluster.types[name]
    if wrong is not None:
        gpus = f"{kind.gpus} × {kind.gpu}" if kind.gpus > 1 else str(kind.gpu)
        said = f"{gpus} cannot hold layers of {problem.model.name} as one tensor-parallel group (rule {wrong})"
        raise ProblemError(f"cluster.types.{name}", f"{said}; state other gpus, or another weight_precision")
