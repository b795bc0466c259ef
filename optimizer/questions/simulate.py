"""``simulate``: percentiles of an answer from a simulation request by request, beside the formulas'."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.questions.refused import refuse_several
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.results.inventory import InventoryAnswer


def simulate(problem: AnyProblem, answer: Any, *, trace: Path | None = None, seed: int = 1) -> Any:
    """The same answer with simulated percentiles; unchanged where there is nothing to simulate.

    Of an inventory the failures are simulated as part of every verification; a trace is played on one replica of each pool.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``.
        trace: requests to replay (columns arrived_at, num_prefill_tokens, num_decode_tokens); Poisson when left out.
        seed: of the random arrivals.

    Raises:
        ProblemError: the trace cannot be used, or a trace is given where none can be played.
    """
    if kind_of(problem) == "uniform":
        from optimizer.questions.uniform import simulate as played

        return played(cast("Problem", problem), answer, trace=trace, seed=seed)
    if trace is None:
        return answer
    refuse_several(problem, "--trace")
    from optimizer.results.chain import ChainAnswer

    if isinstance(answer, ChainAnswer):
        raise ProblemError("--trace", "plays requests; a chain's load is tokens/s, with no requests to play")
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer

    if isinstance(answer, ClusterPoolsAnswer | ClusterSideBySideAnswer):
        raise ProblemError("--trace", "is played on joint instances; state its lengths as workload.trace for pools")
    return _inventory(cast("InventoryProblem", problem), answer, trace, seed)


def _inventory(problem: InventoryProblem, answer: InventoryAnswer, trace: Path, seed: int) -> InventoryAnswer:
    """The answer with what one replica of each pool saw of the trace.

    Raises:
        ProblemError: the trace cannot be used.
    """
    from optimizer.questions.uniform import simulation_of
    from optimizer.results.inventory import PoolSimulation
    from optimizer.verify.simulation import simulate as play
    from optimizer.verify.simulation.trace import read_trace, trace_sentence

    requests = read_trace(trace)
    said, found = [trace_sentence(requests, problem.workload)], []
    for number, pool in enumerate(answer.pools):
        if len(pool.parts) > 1:
            said.append(f"The trace was not played on pool {number}: its stages stand on unlike groups.")
            continue
        if pool.share <= 0 or pool.metrics.ttft_p99_ms is None:
            continue
        part = pool.parts[0]
        ranks = pool.strategy.data_parallel // pool.instances
        # The router sends a replica every k-th request.
        every = max(1, round(pool.instances * ranks / pool.share))
        alone = problem.instance_problem(problem.group(part.group), part.nodes)
        try:
            seen = play(alone, replace(pool.strategy, data_parallel=every), seed=seed, trace=trace)
        except ValueError as error:
            raise ProblemError("--trace", f"pool {number}: {error}") from None
        found.append(PoolSimulation(number, simulation_of(pool.metrics, seen, problem.requirements)))
        said += [f"Pool {number} ({pool.where}): {sentence}" for sentence in found[-1].simulation.disagreements]
    return replace(answer, simulations=tuple(found), explanation=(*answer.explanation, *said))
