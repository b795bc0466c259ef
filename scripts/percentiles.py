#!/usr/bin/env python3
"""How far are the percentiles under random arrivals from a simulation that plays the same service times request by request?

Usage: python scripts/percentiles.py [--trace FILE.csv] [--loads N] [--pipelines N] [--requests N]

With --trace the lengths are those of the recorded requests, at N loads (5) from 20 to 90 % of what a replica completes, for
several strategies and models. With --pipelines N generated loads of pipelines: the mean stay of requests, and the share of
the time for which requests in progress hold more cache than is predicted to be passed for 5 % and 1 % of it, with the
simulation's 99 % interval of that share. Printed are predictions over simulated values: above 1 is pessimistic.
"""

from __future__ import annotations

import argparse
import random
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.load import Load
from optimizer.verify.common.occupancy import blocks_in_progress, moments_of_one, wanted
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine, SimulationRun
from optimizer.verify.simulation.lengths import lengths_of
from optimizer.verify.simulation.report import summarise
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.uniform.recompute import candidate_of

NO_LIMIT = Limits(max_num_seqs=4096, token_budget=8192, kv_blocks=10**9, max_sequence_tokens=10**7)
BATCHES, T995 = 10, 3.25  # 99.5th percentile of Student's t with BATCHES - 1 degrees of freedom
SLOTS = 512
ON_TRACE = (
    ("h100-sxm-80gb", "llama3.1-70b", 4, 1),
    ("h100-sxm-80gb", "llama3.1-70b", 8, 1),
    ("h100-sxm-80gb", "llama3.1-70b", 4, 2),
    ("h100-sxm-80gb", "llama3.1-8b", 1, 1),
    ("a100-sxm-80gb", "qwen2.5-32b", 2, 1),
    ("h100-sxm-80gb", "qwen3-30b-a3b", 1, 1),
)
LAYOUTS = ((4, 2), (2, 4), (1, 8), (8, 2), (4, 4))
PERCENTILES = ("ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "e2e_p50", "e2e_p99")


def stated(gpu: str, model: str, work: dict[str, Any], rate: float, folder: Path | None = None) -> Problem:
    """A problem of some H100 or other GPUs with so many requests/s at its one replica."""
    return problem_from_dict(
        {
            "hardware": {"gpu": gpu, "nodes": 2, "gpus_per_node": 8},
            "model": model,
            "workload": {**work, "requests_per_s": rate},
            "requirements": {"max_batch": SLOTS, "max_sequence_tokens": 16384 if model != "llama3-70b" else 8192},
        },
        folder=folder,
    )


def replica(of: Problem, tp: int, pp: int) -> Strategy:
    """One replica of a shape, served as published."""
    layers, more = divmod(of.model.layers, pp)
    split = tuple(layers + (i < more) for i in range(pp))
    return Strategy(tp, pp, 1, 1, SLOTS, split, of.model.native_weight_format, of.model.native_dtype)


def most(of: Problem, strategy: Strategy) -> float:
    """Requests/s that the replica completes with every slot taken."""
    with sixty_digits():
        residence = candidate_of(of, strategy).times.residence(SLOTS)
        return max(n / float(residence[n - 1]) for n in range(1, SLOTS + 1)) * 1000


def predicted(of: Problem, strategy: Strategy) -> Load | None:
    """The formulas' load of the replica."""
    with sixty_digits():
        return candidate_of(of, strategy).load


def played(of: Problem, strategy: Strategy, requests: int, seed: int) -> SimulationRun:
    """The simulated replica."""
    source = PoissonSource(of.workload.requests_per_s, lengths_of(of), np.random.default_rng(seed))
    return SimulatedEngine(step_times(of, strategy), NO_LIMIT, source).run(requests)


def on_trace(trace: Path, loads: int, requests: int) -> None:
    """Percentiles with recorded lengths, over loads."""
    print("predicted over simulated" + "".join(f"{name:>10}" for name in PERCENTILES))
    found: dict[str, list[float]] = {name: [] for name in PERCENTILES}
    work = {"trace": trace.name}
    for gpu, model, tp, pp in ON_TRACE:
        strategy = replica(stated(gpu, model, work, 1, trace.parent), tp, pp)
        full = most(stated(gpu, model, work, 1, trace.parent), strategy)
        for share in np.linspace(0.2, 0.9, loads):
            of = stated(gpu, model, work, round(full * float(share), 3), trace.parent)
            said = predicted(of, strategy)
            if said is None:
                print(f"{model} TP{tp}·PP{pp} at {share:.0%}: overloaded")
                continue
            run = played(of, strategy, requests + requests // 5, 5)
            seen = summarise(run, warm_up=requests // 5, requests=requests, arrivals="", seed=5)
            ratios = []
            for name in PERCENTILES:
                ratios.append(float(getattr(said, name)) / getattr(seen, name).ms)
                found[name].append(ratios[-1])
            print(f"{model} TP{tp}·PP{pp} at {share:.0%}".ljust(24) + "".join(f"{r:10.3f}" for r in ratios), flush=True)
    for name, values in found.items():
        outside = sum(abs(v - 1) > 0.15 for v in values)
        print(f"{name}: {min(values):.2f} to {max(values):.2f}, {outside} of {len(values)} off by more than 15 %")


def drawn(seed: int) -> tuple[Problem, Strategy, float]:
    """A load between a fifth and 90 % of what a pipeline of a 70B model completes."""
    draw = random.Random(seed)
    work = {"prompt_tokens": draw.randint(100, 2000), "output_tokens": draw.randint(50, 500)}
    tp, pp = draw.choice(LAYOUTS)
    of = stated("h100-sxm-80gb", "llama3-70b", work, 1)
    strategy, share = replica(of, tp, pp), draw.uniform(0.2, 0.9)
    rate = round(most(of, strategy) * share, 3)
    return stated("h100-sxm-80gb", "llama3-70b", work, rate), strategy, share


def pipelines(many: int, requests: int) -> None:
    """Generated loads of pipelines: stays and the cache in use."""
    print("seed  shape     load   in progress  stay   share of the time above the level of 5 % and 1 %")
    fine = 0
    for seed in range(many):
        of, strategy, share = drawn(seed)
        with sixty_digits():
            said = candidate_of(of, strategy).load
            if said is None:
                print(f"{seed:4d}  overloaded at {share:.0%}")
                continue
            one = moments_of_one(blocks_in_progress(of), lambda tokens: Fraction(tokens, 16))
            levels = [(level, float(wanted(said.number, one, level))) for level in (0.05, 0.01)]
        run = played(of, strategy, requests, seed)
        late = [request for request in run.requests[requests // 10 : requests] if request.finished > 0]
        stay = float(said.mean) / float(np.mean([request.finished - request.arrived for request in late]))
        words, good = [], True
        for level, blocks in levels:
            above = run.occupancy.share_above(blocks, BATCHES, from_ms=0.1 * run.ended_ms)
            mean, half = float(above.mean()), T995 * float(above.std(ddof=1)) / BATCHES**0.5
            within = mean - half <= level <= mean + half or mean <= level <= mean * 4 / 3
            good = good and within
            words.append(f"{mean:.2%} ± {half:.2%}{'' if within else ' !'}")
        fine += good
        name = f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}"
        print(
            f"{seed:4d}  {name:8} {share:5.0%}  {float(said.number.mean):9.1f}  {stay:7.3f}   {'   '.join(words)}",
            flush=True,
        )
    print(f"{fine} of {many} within the 99 % interval or pessimistic by at most a third")


def main(arguments: list[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--pipelines", type=int, default=0)
    parser.add_argument("--requests", type=int, default=6000)
    asked = parser.parse_args(arguments)
    if asked.trace is None and not asked.pipelines:
        parser.error("nothing to do: --trace FILE or --pipelines N")
    if asked.trace is not None:
        on_trace(asked.trace, asked.loads, asked.requests)
    if asked.pipelines:
        pipelines(asked.pipelines, asked.requests)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
