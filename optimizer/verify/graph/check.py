"""The public check of an execution graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.graph import Graph, GraphCheck
from optimizer.results.inventory import InventoryAnswer, Pool
from optimizer.verify.common.arithmetic import decimal, sixty_digits
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.common.places import Ground
from optimizer.verify.graph.amounts import check_amounts
from optimizer.verify.graph.modules import Modules
from optimizer.verify.graph.parts import DeclaredLink, Part, Parts
from optimizer.verify.graph.schedule import Schedule
from optimizer.verify.graph.structure import Structure

MOST_MISMATCHES = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """One engine instance as it must be drawn. ``gpus`` in rank order (TP, stages, replicas); None: any GPUs will do."""

    parts: Parts
    strategy: Strategy
    replicas: tuple[int, ...]
    running: int
    gpus: tuple[str, ...] | None = None
    name: str | None = None


def verify_graph(
    problem: Problem, graph: Graph, strategy: Strategy | None = None, running: int | None = None
) -> GraphCheck:
    """Rebuild a graph's claims from the problem and the strategy, and compare.

    Checked: every layer once per replica and shard, on one GPU of the problem that nobody else uses; no cycle; every node
    waits for exactly what its GPUs did before; what comes from another GPU comes over a link that joins them; volumes,
    memory and lengths; the order of times, the end of the step, and that no GPU does two things at once.

    Args:
        problem: what the graph is of; nodes are equal.
        graph: taken instance by instance, so that large ones need little memory.
        strategy: what must be drawn; left out, what the graph says it is of.
        running: sequences in progress at each replica; left out, what the graph's first instance says.
    """
    strategy = strategy or graph.strategy
    first = next(graph.instances(), None)
    if strategy is None or first is None:
        ledger = CheckLedger()
        ledger.that("graph", False, "a strategy and at least one instance", "none")
        return GraphCheck(False, ledger.checks, 0, 0, tuple(ledger.mismatches))
    ranks = max(1, strategy.expert_parallel // strategy.tensor_parallel) * strategy.expert_slice_ranks
    ground = Ground("node", problem.hardware.nodes, problem.hardware)
    parts = Parts([Part(problem, ground, strategy.pipeline_parallel)])
    wanted = [
        Wanted(parts, strategy, tuple(range(start, start + ranks)), running or first.sequences_in_progress)
        for start in range(0, strategy.data_parallel, ranks)
    ]
    return _verify(graph, wanted)


def verify_inventory_graph(
    inventory: InventoryProblem, answer: InventoryAnswer, graph: Graph, running: int | None = None
) -> GraphCheck:
    """The same for an inventory: every instance must be drawn on the very GPUs that the answer names for it.

    Args:
        running: sequences in progress at each replica; left out, the median of each pool in the answer.
    """
    wanted: list[Wanted] = []
    judged = [_parts_of(inventory, pool) for pool in answer.pools]
    replicas = 0
    for placed in answer.placement.instances if answer.placement is not None else ():
        pool = answer.pools[placed.pool]
        slots = pool.strategy.max_num_seqs
        wanted.append(
            Wanted(
                judged[placed.pool],
                pool.strategy,
                replicas=tuple(range(replicas, replicas + placed.replicas)),
                running=running or min(slots, pool.metrics.concurrency_p50 or slots),
                gpus=tuple(f"{gpu.node}/gpu-{gpu.index}" for gpu in placed.gpus),
                name=placed.name,
            )
        )
        replicas += placed.replicas
    return _verify(graph, wanted)


def _parts_of(inventory: InventoryProblem, pool: Pool) -> Parts:
    """Each part of the pool's instances on the nodes of its own group."""
    found = []
    for part in pool.parts:
        group = inventory.group(part.group)
        problem = inventory.instance_problem(group, part.nodes)
        found.append(Part(problem, Ground(group.name, group.nodes, problem.hardware), part.stages))
    return Parts(found)


@sixty_digits()
def _verify(graph: Graph, wanted: Sequence[Wanted]) -> GraphCheck:
    ledger = CheckLedger()
    shared: dict[tuple[int, Strategy, int], tuple[list[Modules], Schedule]] = {}
    links = {link for one in wanted for link in one.parts.links()}
    nodes = edges = instances = 0
    gpus: set[str] = set()
    replicas: list[int] = []
    for number, instance in enumerate(graph.instances()):
        if number >= len(wanted) or len(ledger.mismatches) > MOST_MISMATCHES:
            instances += 1
            break
        one = wanted[number]
        key = id(one.parts), one.strategy, one.running
        if key not in shared:
            modules = _modules(one)
            shared[key] = modules, Schedule(ledger, one.parts, one.strategy, modules, one.running)
        modules, schedule = shared[key]
        with ledger.about(instance.name):
            ledger.same("name", one.name or instance.name, instance.name)
            ledger.same("strategy", one.strategy, instance.strategy)
            ledger.same("replicas", one.replicas, instance.replicas)
            ledger.same("sequences in progress", one.running, instance.sequences_in_progress)
            structure = Structure(ledger, one.parts, one.strategy, instance)
            structure.check()
            ledger.same("stages of the parts", one.strategy.pipeline_parallel, one.parts.stages)
            if one.gpus is not None:
                ledger.same("GPUs in rank order", one.gpus, structure.gpus_in_rank_order())
            check_amounts(ledger, one.parts.problem, one.strategy, instance, structure.steps, modules)
            schedule.check(instance, structure.steps)
            taken = {gpu.name for gpu in instance.gpus}
            ledger.that("GPUs", not taken & gpus, "none that another instance uses", sorted(taken & gpus)[:3])
        gpus |= taken
        replicas += instance.replicas
        nodes, edges, instances = nodes + len(instance.nodes), edges + len(instance.edges), instances + 1
    ledger.same("instances drawn", len(wanted), instances)
    ledger.same("instances stated", len(wanted), graph.instance_count)
    ledger.same("replicas in all", [replica for one in wanted for replica in one.replicas], replicas)
    _declared(ledger, links, graph)
    found = tuple(ledger.mismatches[:MOST_MISMATCHES])
    return GraphCheck(not found, ledger.checks, nodes, edges, found)


def _modules(one: Wanted) -> list[Modules]:
    """By stage, the modules of the part that it belongs to."""
    batch = -(-one.running // one.strategy.pipeline_parallel)
    limit = {"max_batch": one.parts.problem.max_batch}  # an engine has one, whatever its stages stand on
    by_part = {}
    for part in one.parts.parts:
        wanted = part.problem.requirements.model_copy(update=limit)
        by_part[id(part)] = Modules(part.problem.model_copy(update={"requirements": wanted}), one.strategy, batch)
    found = [by_part[id(one.parts.of(stage))] for stage in range(one.strategy.pipeline_parallel)]
    tokens = 16 * min(modules.room(stage) for stage, modules in enumerate(found))
    for modules in found:
        modules.cache_tokens = tokens
    return found


def _declared(ledger: CheckLedger, expected: set[DeclaredLink], graph: Graph) -> None:
    """The classes of links that the graph names: those of the nodes in use, each once."""
    for kind, gpu, gb_per_s, latency_ms in sorted(expected):
        found = [link for link in graph.links if (link.name, link.gpu) == (kind, gpu)]
        figures = decimal(gb_per_s), decimal(latency_ms)
        agrees = any(
            near(figures[0], link.gb_per_s, Decimal(0)) and near(figures[1], link.latency_ms, Decimal(0))
            for link in found
        )
        ledger.that(f"link {kind} of {gpu}", agrees, figures, found)
    ledger.same("links named", len(expected), len(graph.links))
