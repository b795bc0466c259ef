"""Layouts that engines run beside plain TP, PP, DP and EP: experts sliced over replicas, and contexts shared by TP ranks."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.catalog.constants import constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.deployment.line import launch_lines
from optimizer.engines.flags import engine_flags
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.search.uniform.space import context_degrees, slicing_degrees
from optimizer.verify.common.space import contexts_run
from tests.conftest import changed
from tests.generate import MLA, MOE

ISSUE: dict[str, Any] = {
    "hardware": {"gpu": "h200-sxm-141gb", "nodes": 4, "gpus_per_node": 8, "internode_gbit_per_s": 3200},
    "model": "deepseek-v3",
    "workload": {"prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": 8},
    "requirements": {"tpot_p50_ms": 50, "max_sequence_tokens": 5000, "max_batch": 256},
    "search": {"pipeline_parallel": [1], "tensor_parallel": [1, 8]},
}
SMALL: dict[str, Any] = {
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 8},
    "model": MLA,
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 20},
    "requirements": {"max_batch": 64, "max_sequence_tokens": 2048},
    "search": {"pipeline_parallel": [1]},
}
LAYERS = (9,)


def of(engine: str = "vllm", **changes: Any) -> Problem:
    return problem_from_dict(changed({**SMALL, "engine": engine}, **changes))


def costs(problem: Problem, *shapes: Shape) -> AnalyticCosts:
    return AnalyticCosts(problem, shapes)


def plain(tp: int, ep: int = 1, slices: int = 1, dcp: int = 1) -> Shape:
    return Shape(tp, 1, ep, "bf16", "bf16", LAYERS, (), slices, dcp)


def test_sliced_experts_by_hand() -> None:
    """Eight experts of 3 x 2,048 x 1,024 parameters on 7 MoE layers, each over one GPU in eight of TP1 x 8 replicas."""
    found = costs(of(), plain(1), plain(1, slices=8), plain(1, ep=8))
    whole, sliced, spread = found.memory().weights[:, 0].tolist()
    experts = 7 * 8 * 3 * 2048 * 1024 * 2
    assert whole - sliced == whole - spread == experts * 7 // 8
    assert found.table.ranks.tolist() == [1, 8, 8] and found.table.expert_gpus.tolist() == [1, 8, 8]
    # A token goes whole and in 16 bit to 8 places, or in 8 and 16 bit to the places of its 2 experts.
    terms = found.steps.decode_terms(np.array([[4]] * 3))
    c = constants()
    link = 900 / 2 * 1e6
    late = c.exchange_latency_us / 1e3
    by_hand = [0.0, *(7 * 2 * (4 * size * 7 / 8 / link + late) for size in (8 * 2 * 2048, 2 * 1.5 * 2048))]
    assert terms["expert exchange"][:, 0, 0] == pytest.approx(by_hand)


def test_shared_contexts_by_hand() -> None:
    """MLA keeps 256 + 64 values of a token: 640 B a layer and GPU at TP8, 80 B with the tokens over eight ranks."""
    problem = of()
    found = costs(problem, plain(8), plain(8, dcp=8))
    assert found.arrays.kv_bytes_per_token[:, 0].tolist() == [640, 80]
    assert found.memory().kv_per_token[:, 0].tolist() == [9 * 640, 9 * 80]
    # The longest sequence of 2,048 tokens, and what a rank may hold beyond its share: 7 blocks of 16 tokens.
    assert found.memory().kv_per_sequence[:, 0].tolist() == [9 * 640 * 2048, 9 * 80 * (2048 + 7 * 16)]
    terms = found.steps.decode_terms(np.array([[5], [5]]))
    c, link = constants(), 900 / 2 * 1e6
    width = problem.model.kinds[0].attention_flop_width / 8
    generation = problem.hardware.gpu.layer_time_factor
    by_hand = 9 * (2 * 7 * width * 5 / link + 1.5 * c.t_tp * generation)
    assert terms["context exchange"][:, 0, 0] == pytest.approx([0, by_hand])
    assert terms["KV cache"][1, 0, 0] <= terms["KV cache"][0, 0, 0]
    prefill = found.steps.prefill_terms(1000)["context exchange"][:, 0]
    assert prefill == pytest.approx([0, 9 * 80 * 7 * (1000**2 / (2 * 8192) + 500) / link])


def test_degrees_are_those_that_the_engines_run() -> None:
    both = [problem_from_dict({**SMALL, "engine": name}) for name in ("vllm", "sglang")]
    assert [context_degrees(one, 8, "bf16") for one in both] == [(1, 2, 4, 8)] * 2
    assert [context_degrees(one, 8, "fp8") for one in both] == [(1, 2, 4, 8), (1,)]
    grouped = [problem_from_dict({**SMALL, "model": "qwen3-235b-a22b", "engine": name}) for name in ("vllm", "sglang")]
    assert [context_degrees(one, 8, "bf16") for one in grouped] == [(1, 2), (1,)]  # 4 KV heads; vLLM's own example
    assert context_degrees(grouped[0], 4, "bf16") == (1,)
    windowed = problem_from_dict({**SMALL, "model": "gpt-oss-120b"})
    assert context_degrees(windowed, 16, "bf16") == (1,)
    assert context_degrees(problem_from_dict(changed(SMALL, hardware__gpu="a100-sxm-80gb")), 8, "bf16") == (1,)
    for one in (*both, *grouped, windowed):
        for tp in (1, 2, 4, 8, 16):
            for kv in ("bf16", "fp8"):
                run = tuple(n for n in range(1, tp + 1) if contexts_run(one, tp, kv, n))
                assert run == context_degrees(one, tp, kv)
    assert slicing_degrees(both[0], 2, 1) == (1, 2, 4) and slicing_degrees(both[0], 2, 2) == (1,)
    assert slicing_degrees(problem_from_dict(changed(SMALL, search__expert_parallel="replica")), 2, 1) == (1,)


def test_degrees_that_no_engine_runs_are_refused_with_those_that_it_does() -> None:
    with pytest.raises(ProblemError, match=r"--dcp.*3.*1, 2, 4, 8 at TP 8"):
        check(of(), Fixed(tensor_parallel=8, decode_context_parallel=3))
    with pytest.raises(ProblemError, match=r"search\.decode_context_parallel"):
        solve(of(search__decode_context_parallel=[5]))
    answer = check(of(), Fixed(1, 1, 8, 8, expert_slice_ranks=2), repairs=False)
    assert answer.feasible is False and "expert_groups" in {rule.id for rule in answer.rules if not rule.holds}


def test_a_layout_that_fills_no_engine_instance_completes_what_its_replicas_do() -> None:
    """Two replicas of an engine of eight: the rule on the rate counted eight once, and the verifier refuted it."""
    answer = check(
        of(workload__requests_per_s=200, requirements__max_batch=8), Fixed(1, 1, 2, 8, max_num_seqs=8), repairs=False
    )
    assert answer.verification.passed and answer.feasible is False
    (rule,) = [rule for rule in answer.rules if rule.id == "request_rate"]
    assert isinstance(rule.actual, float) and 100 < rule.actual < 200 and not rule.holds


def test_launch_lines_say_how_experts_and_contexts_are_shared() -> None:
    for engine, words in (
        ("vllm", (["--data-parallel-size 8"], ["--decode-context-parallel-size 8"])),
        ("sglang", (["--tp-size 8", "--attn-dp-size 8"], ["--dcp-size 8"])),
    ):
        problem = of(engine)
        named = problem.model_copy(update={"model": problem.model.model_copy(update={"huggingface_id": "org/model"})})
        for fixed, flags in zip(
            (Fixed(1, 1, 8, 1, expert_slice_ranks=8), Fixed(8, 1, 1, 1, decode_context_parallel=8)), words, strict=True
        ):
            answer = check(problem, fixed, repairs=False)
            assert answer.verification.passed and answer.strategy is not None
            line = launch_lines(named, answer)[0]
            assert all(flag in line for flag in flags) and "--enable-expert-parallel" not in line


def test_guessing_algorithms_are_among_those_that_sglang_knows() -> None:
    draft = {"draft_parameters": 1, "draft_layers": 2, "draft_kv_bytes_per_token": 4096, "draft_model": "org/draft"}
    known = engine_flags("sglang").choices["--speculative-algorithm"]
    for method, more, wanted in (
        ("draft", draft, "STANDALONE"),
        ("eagle", {"draft_model": "org/head"}, "EAGLE3"),
        ("ngram", {}, "NGRAM"),
    ):
        guesses = {"method": method, "acceptance": 0.7, "tokens": 2, **more}
        problem = of("sglang", model="llama3.1-8b", workload__speculation=guesses)
        answer = check(problem, Fixed(1, 1, 8), repairs=False)
        assert answer.verification.passed
        words = launch_lines(problem, answer)[0].split()
        assert words[words.index("--speculative-algorithm") + 1] == wanted and wanted in known


def test_deepseek_on_32_h200_is_no_longer_infeasible() -> None:
    """Said to be infeasible once, while ``check --tp 1 --dp 32 --ep 8`` said feasible."""
    problem = problem_from_dict(ISSUE)
    best = solve(problem, repairs=False)
    proposed = check(problem, Fixed(1, 1, 32, 8), repairs=False)
    assert best.status == "optimal" and best.verification.passed and proposed.feasible
    assert best.objective is not None and proposed.objective is not None
    assert best.objective.value <= proposed.objective.value


@pytest.mark.parametrize(("engine", "model"), [("vllm", MLA), ("sglang", MOE)])
def test_solve_is_never_worse_than_a_strategy_that_check_accepts(engine: str, model: dict[str, Any]) -> None:
    pick = random.Random(f"{engine} {model['name']}")
    problem = of(engine, model=model, workload__requests_per_s=40)
    best = solve(problem, repairs=False)
    assert best.objective is not None and best.verification.passed
    judged = 0
    for _ in range(12):
        tp, ep = pick.choice([1, 2, 4, 8]), pick.choice([1, 1, 2, 4, 8])
        slices = pick.choice([1, 2, 4]) if ep == 1 else 1
        dcp = pick.choice(context_degrees(problem, tp, "bf16"))
        fixed = Fixed(
            tp, 1, pick.choice([d for d in (1, 2, 4, 8) if d * tp <= 8]), ep, None, None, None, None, slices, dcp
        )
        found = check(problem, fixed, repairs=False)
        if found.feasible and found.objective is not None:
            judged += 1
            assert best.objective.value <= found.objective.value + 2e-5, fixed
    assert judged >= 3


def test_an_eagle_head_by_hand() -> None:
    """Llama-3.1-8B: 3·4,096² to take three states in, 2·4,096·6,144 + 4,096² of attention, 3·4,096·14,336, and 32,000 rows."""
    guesses = {"method": "eagle", "acceptance": 0.7, "tokens": 3}
    problem = of(model="llama3.1-8b", workload__speculation=guesses)
    head = problem.workload.speculation
    assert head is not None and head.draft_parameters is not None
    by_hand = 3 * 4096**2 + 2 * 4096 * 6144 + 4096**2 + 3 * 4096 * 14336 + 32000 * 4096
    assert Fraction(repr(head.draft_parameters)) * 10**9 == by_hand
    assert (head.draft_layers, head.draft_kv_bytes_per_token) == (1, 2 * 8 * 128 * 2)
    with pytest.raises(ProblemError, match="draft_parameters"):
        of(workload__speculation=guesses)


def test_the_engine_s_own_token_budgets_can_be_asked_for() -> None:
    budgets = [choice["max_num_batched_tokens"] for choice in of(search__token_budgets="engine").variants()]
    assert budgets == [2048, 8192, 16384]
