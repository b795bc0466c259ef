"""Percentiles of mixed lengths, prefixes and guesses: two implementations, the float counterpart, and the simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.costs.corrected import costs_of
from optimizer.costs.load import chain_length, evaluate
from optimizer.costs.shapes import Shape
from optimizer.facts.lengths import LengthLaw, length_classes
from optimizer.facts.problem import Problem
from optimizer.facts.workload import Prefix
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_load import loads
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.stage import Stages
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.lengths import lengths_of
from optimizer.verify.simulation.report import summarise
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.uniform.recompute import candidate_of
from tests.verify.builders import LLAMA3_70B, SMALL_MOE, problem

TRACE_LIKE: dict[str, Any] = {
    "prompt_tokens": {"mean": 1155, "p50": 1020, "p99": 4142},
    "output_tokens": {"mean": 211, "p50": 129, "p99": 601, "max": 1000},
}
TAIL: dict[str, Any] = {"prompt_tokens": 1000, "prompt_tokens_p99": 5000, "output_tokens": 200}
GUESSES = {"method": "ngram", "acceptance": 0.6, "max_tokens": 3, "tokens": 2}
DRAFT = {
    "method": "draft", "acceptance": 0.7, "tokens": 3, "draft_parameters": 1.1, "draft_layers": 4, "draft_kv_bytes_per_token": 8192,
}  # fmt: skip
WORKLOADS = [
    TRACE_LIKE,
    TAIL,
    {"prompt_tokens": 1500, "output_tokens": 200, "prefix": {"shared_tokens": 500, "hit_rate": 0.3}},
    {"prompt_tokens": 1500, "output_tokens": 200, "speculation": DRAFT},
    {**TRACE_LIKE, "prefix": {"shared_tokens": 100}, "speculation": GUESSES},
]
LATENCIES = [f"{name}_p{p}" for name in ("prefill", "ttft", "tpot", "e2e") for p in (50, 99)]
NO_LIMIT = {"max_num_seqs": 2048, "token_budget": 8192, "kv_blocks": 10**9, "max_sequence_tokens": 10**7}


def stated(work: dict[str, Any], rate: float, model: dict[str, Any] = LLAMA3_70B, **search: Any) -> Problem:
    goodput = {"share": 0.9, "ttft_ms": 800, "tpot_ms": 60, "e2e_ms": 20_000}
    return problem(
        model={**model, "max_position_embeddings": 16384},
        workload={**work, "requests_per_s": rate},
        requirements={"max_batch": 256, "goodput": goodput},
        search=search,
    )


def tensor(of: Problem, tp: int, pp: int = 1) -> Strategy:
    layers = (of.model.layers // pp,) * pp
    kv = "fp16" if of.model.native_dtype == "fp16" else "bf16"
    return Strategy(tp, pp, 1, 1, 256, layers, of.model.native_weight_format, kv)


@pytest.mark.parametrize("work", WORKLOADS)
@pytest.mark.parametrize(("model", "tp", "pp"), [(LLAMA3_70B, 4, 1), (LLAMA3_70B, 2, 4), (SMALL_MOE, 2, 3)])
def test_tables_exact_arithmetic_and_floats_agree(
    work: dict[str, Any], model: dict[str, Any], tp: int, pp: int
) -> None:
    rate = 2.5 if model is LLAMA3_70B else 8.0
    of = stated(work, rate, model, max_num_batched_tokens=2048)
    strategy = tensor(of, tp, pp)
    candidate = candidate_of(of, strategy)
    shape = Shape(tp, pp, 1, strategy.weight_precision, strategy.kv_precision, strategy.layers_per_stage)
    costs = costs_of(of, [shape])
    length = chain_length(of)
    zero = np.zeros(1, dtype=np.int64)
    table = evaluate(costs.service(length), zero, np.array([rate]), length + 1)
    stages = Stages(of)
    with sixty_digits():
        exact = candidate.load
        assert exact is not None and not table.overloaded[0]
        in_floats = loads(of, float_times(of, [row_of(strategy).shape], stages, length), zero, np.array([rate]), length)
        for name in [*LATENCIES, "goodput"]:
            right = float(getattr(exact, name))
            assert getattr(table, name)[0] == pytest.approx(right, rel=1e-9, abs=1e-12), name
            assert in_floats.latency[name][0] == pytest.approx(right, rel=1e-9, abs=1e-12), name
        assert table.mean_ms[0] == pytest.approx(float(exact.mean), rel=1e-9)
        memory = costs.memory()
        assert memory.held is not None
        column = costs.table.class_of_stage[0][-1]
        last = candidate.facts.stages[-1]
        assert int(memory.weights[0, column]) == last.weights_bytes
        assert int(memory.kv_per_sequence[0, column]) == last.sequence_bytes
        wanted = candidate._wanted(exact, last)
        assert memory.held.wanted(zero, table, 0.01)[0, column] == pytest.approx(float(wanted), rel=1e-9)


def simulated(of: Problem, strategy: Strategy, requests: int = 4000):  # type: ignore[no-untyped-def]
    work = of.workload
    source = PoissonSource(work.requests_per_s, lengths_of(of), np.random.default_rng(5))
    guesses = work.speculation if work.guessed else None
    limits = Limits(**NO_LIMIT, prefix=work.prefix, speculation=guesses)
    run = SimulatedEngine(step_times(of, strategy), limits, source).run(requests + 800)
    return summarise(run, warm_up=800, requests=requests, arrivals="", seed=5)


def load(of: Problem, strategy: Strategy):  # type: ignore[no-untyped-def]
    with sixty_digits():
        found = candidate_of(of, strategy).load
    assert found is not None
    return found


@pytest.mark.parametrize(("tp", "rate"), [(4, 2.0), (4, 4.5), (8, 7.0)])
def test_percentiles_of_mixed_lengths_are_within_15_percent_of_the_simulated(tp: int, rate: float) -> None:
    of = stated(TRACE_LIKE, rate)
    strategy = tensor(of, tp)
    seen, said = simulated(of, strategy), load(of, strategy)
    for name in ("ttft_p99", "tpot_p99", "tpot_p50"):
        assert float(getattr(said, name)) == pytest.approx(getattr(seen, name).ms, rel=0.15), name
    assert float(said.mean) == pytest.approx(seen.request_mean.ms, rel=0.1)
    assert seen.within(of.requirements.goodput) >= 1 - float(said.goodput) - 0.02  # type: ignore[arg-type]


def test_a_pipeline_of_mixed_prompts_is_no_longer_optimistic() -> None:
    of = stated(TAIL, 6.0)
    strategy = tensor(of, 2, 4)
    seen, said = simulated(of, strategy), load(of, strategy)
    assert float(said.mean) == pytest.approx(seen.request_mean.ms, rel=0.1)  # 0.78 before
    assert float(said.tpot_p99) >= 0.9 * seen.tpot_p99.ms  # 0.57 before


def test_prefixes_and_guesses_against_the_simulation() -> None:
    for work in WORKLOADS[2:4]:
        of = stated(work, 3.0)
        strategy = tensor(of, 4)
        seen, said = simulated(of, strategy, 2500), load(of, strategy)
        assert float(said.tpot_p50) == pytest.approx(seen.tpot_p50.ms, rel=0.1)
        assert float(said.mean) == pytest.approx(seen.request_mean.ms, rel=0.1)


def test_a_law_keeps_what_is_stated() -> None:
    law = LengthLaw(mean=1155, p50=1020, p99=4142)
    classes = length_classes(law, 10**6)
    whole = sum(weight for _, weight in classes)
    assert sum(tokens * weight for tokens, weight in classes) / whole == pytest.approx(1155, rel=0.002)
    assert sum(weight for tokens, weight in classes if tokens <= 1020) / whole == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="does not go with the percentiles"):
        LengthLaw(mean=3000, p50=1020, p99=4142)
    with pytest.raises(ValueError, match="stands beside"):
        LengthLaw(mean=1000, p99=3000, cv=1.0)


def test_shared_tokens_are_whole_blocks_and_the_last_token_is_computed() -> None:
    assert Prefix(shared_tokens=800).cached(2000) == 800
    assert Prefix(shared_tokens=810).cached(2000) == 800
    assert Prefix(shared_tokens=800, hit_rate=0.5).cached(2000) == 800 + 592
    assert Prefix(shared_tokens=800).cached(800) == 784
    assert Prefix(shared_tokens=800).cached(1) == 0


def test_guessing_pays_at_small_batches_and_not_at_large_ones() -> None:
    """The crossover: checking k + 1 tokens a sequence is free while weights decide, and is not once products do."""
    speculation = {"method": "ngram", "acceptance": 0.4, "max_tokens": 3}
    plain, guessing = (
        candidate_of(stated({"prompt_tokens": 500, "output_tokens": 200, **more}, 1.0), STRATEGY).times
        for more in ({}, {"speculation": {**speculation, "tokens": 3}})
    )
    with sixty_digits():
        assert guessing.tpot(1) < plain.tpot(1)
        assert guessing.tpot(256) > plain.tpot(256)


STRATEGY = Strategy(8, 1, 1, 1, 256, (80,), "fp16", "fp16")
