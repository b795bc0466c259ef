"""What an engine prints when it starts, against public logs; each is named."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer import Fixed, check
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.costs.startup import StartUp, start_up
from optimizer.engines.memory import overhead_on
from optimizer.explain.uniform.memory_words import memory_sentences
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

GIB = 1 << 30


def _problem(
    model: str, gpu: str, version: str, share: float, longest: int, tokens: int, sequences: int = 256
) -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "engine_version": version,
            "hardware": {"gpu": gpu, "nodes": 4, "gpus_per_node": 8},
            "model": model,
            "workload": {"prompt_tokens": 1, "output_tokens": 1, "requests_per_s": 0.1},
            "requirements": {"max_sequence_tokens": longest, "gpu_memory_utilization": share, "max_batch": sequences},
            "search": {"max_num_batched_tokens": tokens, "disabled_rules": ["context"]},
        }
    )


def _started(
    problem: Problem, tp: int, layers: tuple[int, ...], ep: int = 1, kv: str = "bf16", weights: str = ""
) -> StartUp:
    return start_up(problem, Shape(tp, len(layers), ep, weights or problem.model.native_weight_format, kv, layers))


def test_kernels_of_compressed_attention_take_workspaces_of_their_own() -> None:
    # vllm issue 44376: 5.44 GiB are left for the cache of DeepSeek-V4-Flash on two GH200, 6.66 are needed for 30,000 tokens.
    problem = _problem("deepseek-v4-flash", "gh200-96gb", "0.22.0", 0.95, 30_000, 16_384, 1024)
    found = _started(problem, 2, (43,), ep=2, kv="fp8")
    assert found.kv_memory / GIB == pytest.approx(5.44, abs=0.2)
    assert found.longest_sequence / GIB == pytest.approx(6.66, rel=0.05)
    assert found.spare < 0
    measured = problem.model_copy(
        update={"engine_overhead": problem.engine_overhead.model_copy(update={"non_torch_mib": 400})}
    )
    assert _started(measured, 2, (43,), ep=2, kv="fp8").kv_memory / GIB == pytest.approx(9.5, abs=0.2)


def test_the_verifier_knows_of_them_too() -> None:
    problem = _problem("deepseek-v4-flash", "gh200-96gb", "0.22.0", 0.95, 30_000, 16_384)
    shape = Shape(2, 1, 2, problem.model.native_weight_format, "fp8", (43,))
    known = overhead_on(problem)
    counted = sum(part.value for part in known.counted) << 20
    tables = 4 * 2 * 1_048_576 * 64  # one for layers that compress, one for the others, both in 32 bits
    assert counted + tables == int(AnalyticCosts(problem, [shape]).memory().engine[0, 0])
    plain = overhead_on(_problem("llama3-8b", "gh200-96gb", "0.22.0", 0.95, 8192, 8192)).non_torch.value
    assert known.non_torch.value == plain + 4400 + -(-30_000 * 1_320 // 2**20)


@pytest.mark.parametrize(
    ("version", "starts"), [("0.11.0", True), ("0.14.0", False), ("0.15.1", False), ("0.16.0", True)]
)
def test_two_versions_asked_each_stage_for_the_cache_of_the_whole_model(version: str, starts: bool) -> None:
    # vllm issue 32105: 71.16 GiB were asked of each of eight stages; 81,392 tokens were said to fit into 28.57 GiB.
    problem = _problem("glm-4.6", "h100-sxm-80gb", version, 0.925, 202_752, 8192)
    found = _started(problem, 1, (11, 11, 11, 12, 12, 12, 12, 11), weights="fp8")
    assert (found.spare >= 0) is starts
    if not starts:
        assert found.longest_sequence / GIB == pytest.approx(71.16, rel=0.001)


def test_a_start_that_runs_out_of_memory_keeps_its_figures() -> None:
    # vllm pull request 14447: 1.57 GiB for the cache where the share was 0.99 of the card.
    problem = _problem("llama3-8b", "rtx-3090-24gb", "0.8.0", 0.999, 8192, 2048)
    found = _started(problem, 1, (32,))
    assert found.runs_out and found.spare < 0 < found.kv_memory


def test_states_take_blocks_of_the_cache() -> None:
    # vllm-project/recipes pull request 831: blocks for 939 sequences beside Qwen3.8-27B in fp8 on one RTX PRO 6000, 1,024 asked for.
    problem = _problem("qwen3.5-27b-fp8", "rtx-pro-6000", "0.26.0", 0.9, 262_144, 8192, 1024)
    assert _started(problem, 1, (64,)).sequences_of_states == pytest.approx(939, rel=0.2)
    assert _started(_problem("llama3-8b", "h100", "0.26.0", 0.9, 8192, 8192), 1, (32,)).sequences_of_states is None


@pytest.mark.parametrize(("tp", "share", "blocks", "block"), [(2, 3.86, 161, 25_690_112), (1, 3.60, 75, 51_380_224)])
def test_blocks_of_states_are_as_logs_have_them(tp: int, share: float, blocks: int, block: int) -> None:
    # vllm issue 49064: 161 blocks in 3.86 GiB (TP2, bf16); vllm-project/recipes pull request 810: 75 blocks (TP1, fp8), 91,022 tokens.
    problem = _problem("qwen3.5-27b-fp8", "rtx-pro-6000", "0.26.0", 0.9, 262_144, 8192, 1024)
    costs = AnalyticCosts(problem, [Shape(tp, 1, 1, "fp8", "bf16" if tp == 2 else "fp8", (64,))])
    memory = costs.memory()
    assert memory.state_block.tolist() == [[block]]
    assert memory.state_sequences(np.array([[int(share * GIB)]]), 4096).tolist() == [blocks]


@pytest.mark.parametrize(
    ("sequences", "starts", "unsure"), [(256, True, False), (1000, True, True), (1200, False, False)]
)
def test_a_block_for_each_sequence_is_a_rule(sequences: int, starts: bool, unsure: bool) -> None:
    problem = _problem("qwen3.5-27b-fp8", "rtx-pro-6000", "0.26.0", 0.9, 262_144, 8192, 1024)
    answer = check(problem, Fixed(1, 1, 1, max_num_seqs=sequences), repairs=False)
    rule = next(rule for rule in answer.rules if rule.id == "state_blocks")
    assert rule.holds is starts and answer.feasible is starts
    assert answer.verification.passed, answer.verification.mismatches
    said = any("block of states" in sentence for sentence in memory_sentences(problem, answer.strategy))
    assert said is unsure
    older = problem.model_copy(update={"engine_version": "0.18.0"})
    assert all(rule.id != "state_blocks" for rule in check(older, Fixed(1, 1, 1), repairs=False).rules)


def test_a_version_that_asks_for_too_much_is_said() -> None:
    problem = _problem("glm-4.6", "h100-sxm-80gb", "0.15.0", 0.925, 202_752, 8192)
    problem = problem.model_copy(update={"search": problem.search.model_copy(update={"weight_precision": ("fp8",)})})
    answer = check(problem, Fixed(1, 8, 1))
    assert any("Does not start in vLLM 0.15.0" in sentence for sentence in memory_sentences(problem, answer.strategy))
    newest = problem.model_copy(update={"engine_version": "0.32.0"})
    assert not any("Does not start" in sentence for sentence in memory_sentences(newest, answer.strategy))


def test_blocks_for_more_sequences_than_any_batch_are_counted_whole() -> None:
    # The verifier counts them all: a limit cut at the largest batch, 4,096, was refuted by it.
    problem = _problem("nemotron-3-nano-30b-a3b", "b200", "0.26.0", 0.9, 8192, 8192)
    answer = check(problem, Fixed(1, 1, 1), repairs=False)
    rule = next(rule for rule in answer.rules if rule.id == "state_blocks")
    assert answer.verification.passed, answer.verification.mismatches
    assert rule.limit > 4096 and rule.holds
