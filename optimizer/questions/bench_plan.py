"""``bench-plan``: which runs on a person's own machine would narrow the answer's interval most.

What the constants of the cost model are known to (``SPREAD``) leaves the answer's latencies open; a run narrows the constants it
depends on. In logarithms both are close to linear and normal, so what any set of runs would leave open is known before it is
measured: the plan takes the run that leaves least, then the next, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.catalog.constants import constants
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun, run_of
from optimizer.costs.shapes import Floats
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions.calibrate import SCATTER, Near, RunErrors
from optimizer.reading.measurements import Measurement, UnusableRow
from optimizer.results.answer import Answer, Fixed, Strategy
from optimizer.results.bench_plan import BenchPlan, PlannedRun
from optimizer.results.rule_groups import HARDWARE_RULES

FEWEST, MOST, USUAL = 5, 10, 6
NINETY = 1.645
"""Standard deviations on either side that hold 90 % of a normal law."""
LOADS = (1, 4, 16, 64, 256)
SHORTER = 8
"""Prompts and outputs of some runs are so many times shorter than the workload's, to tell prompts and steps apart."""
SHORTEST = 32


def most_telling(
    candidates: Sequence[MeasuredRun], targets: Sequence[MeasuredRun], count: int, near: Near | None = None
) -> list[int]:
    """Which of the runs to make so that the TPOT of the targets is known best, in the order of choosing.

    Args:
        candidates: runs that could be made; what they would measure does not matter.
        targets: runs whose TPOT is to be predicted.
        count: how many to choose.
        near: constants around which to look; left out, the shipped ones.
    """
    return [index for index, _ in _chosen(candidates, targets, count, near)[1]]


def _chosen(
    candidates: Sequence[MeasuredRun], targets: Sequence[MeasuredRun], count: int, near: Near | None
) -> tuple[float, list[tuple[int, float]]]:
    """Standard deviation of the targets' log TPOT before, and (candidate, standard deviation after it) one after the other."""
    errors = RunErrors([*candidates, *targets], near)
    _, slopes = errors.linear(np.zeros(len(errors.names)))
    whole = len(candidates) + len(targets)
    told = np.stack([slopes[i * whole : i * whole + len(candidates)] for i in range(len(SCATTER))], axis=1)
    wanted = slopes[len(candidates) : whole]
    noise = np.diag(np.array(list(SCATTER.values())) ** 2)
    known: Floats = np.diag(errors.spread**2)
    before, found = _left(known, wanted), list[tuple[int, float]]()
    for _ in range(min(count, len(candidates))):
        best: tuple[float, int, Floats] | None = None
        for index, rows in enumerate(told):
            if any(index == taken for taken, _ in found):
                continue
            gain = known @ rows.T @ np.linalg.inv(rows @ known @ rows.T + noise)
            after = known - gain @ rows @ known
            left = _left(after, wanted)
            if best is None or left < best[0]:
                best = left, index, after
        assert best is not None
        known = best[2]
        found.append((best[1], best[0]))
    return before, found


def _left(known: Floats, wanted: Floats) -> float:
    """Root mean square of the targets' standard deviations."""
    return float(np.sqrt(np.einsum("ij,jk,ik->i", wanted, known, wanted).mean()))


def bench_plan(problem: Problem, answer: Answer, count: int = USUAL) -> BenchPlan:
    """Runs that would narrow the answer's interval most.

    Args:
        problem: of equal nodes.
        answer: of ``solve`` or ``check``, with a strategy and finite latencies.
        count: how many runs, 5 to 10.

    Raises:
        ProblemError: there is nothing to predict, or ``count`` is out of range.
    """
    if not FEWEST <= count <= MOST:
        raise ProblemError("--runs", f"{count} runs; {FEWEST} to {MOST} would be right")
    strategy, metrics = answer.strategy, answer.metrics
    if strategy is None or metrics is None or metrics.concurrency_p50 is None:
        raise ProblemError(
            problem.name,
            "no strategy with finite latencies, so there is no interval to narrow; optimizer solve says why",
        )
    ranks = strategy.engine_ranks
    busy = max(1, metrics.concurrency_p50) * ranks
    work = problem.workload
    try:
        targets = [_run(problem, strategy, strategy.tensor_parallel, (work.prompt_tokens, work.output_tokens), load)
                   for load in sorted({busy, max(busy, (metrics.concurrency_p99 or 1) * ranks)})]  # fmt: skip
        candidates = _candidates(problem, strategy, busy)
    except UnusableRow as reason:
        raise ProblemError(problem.name, str(reason)) from None
    before, found = _chosen(candidates, targets, count, None)
    scatter = SCATTER["tpot"]

    def percent(deviation: float) -> float:
        return float(100 * np.expm1(NINETY * np.hypot(deviation, scatter)))

    rows = [(candidates[index].row, left) for index, left in found]
    return BenchPlan(
        strategy,
        busy,
        tuple(
            PlannedRun(row.tp, row.prompt_tokens, row.output_tokens, row.concurrency, percent(left))
            for row, left in rows
        ),
        percent(before),
    )


def _candidates(problem: Problem, strategy: Strategy, busy: int) -> list[MeasuredRun]:
    """Loads and lengths on the answer's layout, and on its neighbours in TP that start."""
    work = problem.workload
    prompt, output = work.prompt_tokens, work.output_tokens
    shorter = max(min(prompt, SHORTEST), prompt // SHORTER), max(min(output, SHORTEST), output // SHORTER)
    lengths = dict.fromkeys([(prompt, output), (shorter[0], output), (prompt, shorter[1])])
    loads = sorted({*LOADS, busy})
    found = []
    for tp in _degrees(problem, strategy):
        for pair in lengths:
            runs = [_run(problem, strategy, tp, pair, load) for load in loads]
            corpus = Corpus(runs)
            if corpus.weights_fit(constants()).all():
                # What waits for memory tells of waiting, not of steps.
                held = corpus.steps_by_run(corpus.step_times(constants())).running[:, 0]
                found += [run for run, n in zip(runs, held, strict=True) if n >= run.row.concurrency]
    return found


def _degrees(problem: Problem, strategy: Strategy) -> list[int]:
    """TP of the answer, half and twice of it where one replica of that starts; experts, ranks and stages stay the answer's."""
    tp, room = strategy.tensor_parallel, problem.hardware.gpus_per_node
    if strategy.expert_parallel > 1 or strategy.pipeline_parallel > 1 or strategy.engine_ranks > 1:
        return [tp]
    beside = (one for one in (2 * tp, tp // 2) if 1 <= one <= room)
    return [tp, *(one for one in beside if _starts(_checked(problem, strategy, one)))]


def _starts(answer: Answer) -> bool:
    """Whether hardware, kernels and memory let a strategy run, whatever the load."""
    return all(rule.holds for rule in answer.rules if rule.id in HARDWARE_RULES)


def _checked(problem: Problem, strategy: Strategy, tp: int) -> Answer:
    """One replica at another TP degree, otherwise as the strategy has it."""
    from optimizer.questions.uniform import check

    fixed = Fixed(
        tensor_parallel=tp,
        pipeline_parallel=1,
        data_parallel=1,
        max_num_seqs=strategy.max_num_seqs,
        weight_precision=strategy.weight_precision,
        kv_precision=strategy.kv_precision,
    )
    return check(problem, fixed, repairs=False, reasons=False)


def _run(problem: Problem, strategy: Strategy, tp: int, lengths: tuple[int, int], load: int) -> MeasuredRun:
    ranks = strategy.engine_ranks
    row = Measurement(
        model=problem.model.name,
        system=problem.hardware.gpu.name,
        engine=problem.engine,
        version="",
        precision=strategy.weight_precision,
        prompt_tokens=lengths[0],
        output_tokens=lengths[1],
        concurrency=load,
        tp=tp,
        pp=strategy.pipeline_parallel,
        ranks=ranks,
        ep=strategy.expert_parallel,
        gpus=tp * strategy.pipeline_parallel * ranks,
        ttft_ms=1.0,
        tpot_ms=1.0,
    )
    return run_of(row, problem.model, problem.hardware.gpu)


def checked_layouts(problem: Problem, answer: Answer, plan: BenchPlan) -> dict[int, Answer]:
    """The answer, and for every other TP degree of the plan one replica of it, checked, for its launch line."""
    own = plan.strategy
    others = {run.tensor_parallel for run in plan.runs} - {own.tensor_parallel}
    return {own.tensor_parallel: answer, **{tp: _checked(problem, own, tp) for tp in others}}
