"""Problems, strategies and queues that the tests of the simulator share."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine, SimulationRun
from optimizer.verify.simulation.lengths import Lengths
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import SimulatedStepTimes
from tests.verify.sources import plain_stage

ROOMY = 1_000_000


def limits(slots: int, budget: int = ROOMY, blocks: int = ROOMY, longest: int = ROOMY) -> Limits:
    """Limits that do not bind unless stated."""
    return Limits(max_num_seqs=slots, token_budget=budget, kv_blocks=blocks, max_sequence_tokens=longest)


def stages(*decode_ms: float, prefill: float = 0.001, slots: int = 64, start: float = 0.0) -> SimulatedStepTimes:
    """A pipeline whose stages take a constant time per step and ``prefill`` ms per prompt token."""
    return SimulatedStepTimes(tuple(plain_stage(ms, prefill, slots) for ms in decode_ms), start_ms=start)


def poisson(
    times: SimulatedStepTimes, held: Limits, rate_per_s: float, lengths: Lengths, requests: int, seed: int = 1
) -> SimulationRun:
    """A run on Poisson arrivals."""
    return SimulatedEngine(times, held, PoissonSource(rate_per_s, lengths, np.random.default_rng(seed))).run(requests)


def problem(
    model: str = "llama3.1-8b",
    *,
    gpus: int = 1,
    prompt: int = 1155,
    output: int = 211,
    rate: float = 4.0,
    longest: int = 8192,
    gpu: str = "h100-sxm-80gb",
    engine: str = "vllm",
    **workload: int,
) -> Problem:
    """A model on one node."""
    values: dict[str, Any] = {
        "engine": engine,
        "hardware": {"gpu": gpu, "nodes": 1, "gpus_per_node": gpus, "internode_gbit_per_s": 100},
        "model": model,
        "workload": {"prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate, **workload},
        "requirements": {"max_sequence_tokens": longest},
    }
    return problem_from_dict(values)


def strategy(
    of: Problem, tensor: int = 1, pipeline: int = 1, replicas: int = 1, slots: int = 64, f: str = "bf16"
) -> Strategy:
    """Even layers, no expert parallelism."""
    layers = (of.model.layers // pipeline,) * pipeline
    return Strategy(tensor, pipeline, replicas, 1, slots, layers, f, "bf16")
