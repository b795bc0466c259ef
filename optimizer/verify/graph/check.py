"""The public check of an execution graph."""

from __future__ import annotations

from optimizer.facts.problem import Problem
from optimizer.graph_answer import Graph, GraphCheck
from optimizer.verify.arithmetic import sixty_digits
from optimizer.verify.graph.amounts import check_amounts
from optimizer.verify.graph.modules import Modules
from optimizer.verify.graph.schedule import Schedule
from optimizer.verify.graph.structure import Structure
from optimizer.verify.ledger import Ledger

MOST_MISMATCHES = 100


@sixty_digits()
def verify_graph(problem: Problem, graph: Graph) -> GraphCheck:
    """Rebuild a graph's claims from the problem and the strategy, and compare.

    Checked: every layer once per replica and shard, on one GPU of the problem that nobody else uses; no cycle; every node
    waits for exactly what its GPUs did before; what comes from another GPU comes over a link that joins them; volumes,
    memory and lengths; the order of times, the end of the step, and that no GPU does two things at once.

    Args:
        problem: what the graph is of; nodes are equal.
        graph: taken instance by instance, so that large ones need little memory.
    """
    ledger, strategy = Ledger(), graph.strategy
    running = graph.sequences_in_progress
    modules = Modules(problem, strategy, -(-running // strategy.pipeline_parallel))
    schedule = Schedule(ledger, problem, strategy, modules, running)
    nodes = edges = 0
    gpus: set[str] = set()
    replicas: list[int] = []
    instances = 0
    for instance in graph.instances():
        with ledger.about(instance.name):
            structure = Structure(ledger, problem, strategy, instance)
            structure.check()
            check_amounts(ledger, problem, strategy, instance, structure.steps, modules)
            schedule.check(instance, structure.steps)
            taken = {gpu.name for gpu in instance.gpus}
            ledger.that("GPUs", not taken & gpus, "none that another instance uses", sorted(taken & gpus)[:3])
        gpus |= taken
        replicas += instance.replicas
        nodes, edges, instances = nodes + len(instance.nodes), edges + len(instance.edges), instances + 1
        if len(ledger.mismatches) > MOST_MISMATCHES:
            break
    ledger.same("replicas", list(range(strategy.data_parallel)), sorted(replicas))
    ledger.same("instances", graph.instance_count, instances)
    ledger.same("GPUs in use", strategy.gpus, len(gpus))
    found = tuple(ledger.mismatches[:MOST_MISMATCHES])
    return GraphCheck(not found, ledger.checks, nodes, edges, found)
