"""What engines' kernels refuse is refused: formats by compute capability, blocks and groups that slices would cut."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.catalog import lookup
from optimizer.deployment.formats import refuse_formats
from optimizer.deployment.options import Options
from optimizer.engines.kernels import kernels_of, quantised_modules
from optimizer.facts.demand import KvFormat
from optimizer.facts.engine import Engine
from optimizer.facts.engine_names import ENGINE_NAMES
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import Quantization, WeightFormat
from optimizer.facts.problem import Problem
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.space import build_space
from optimizer.verify.common.groups import Group, ReplicaShape, Row
from optimizer.verify.common.rules import row_findings
from tests.conftest import changed

# vllm 21695: 29,568 / 128 = 231 = 3 · 7 · 11 groups; sizes are those of Qwen1.5-72B-Chat-AWQ's published config.
AWQ_72B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 151674,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "hidden_act": "silu",
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True},
}
MINIMAX: dict[str, Any] = {
    "hardware": {"gpu": "h200-sxm-141gb", "nodes": 1},
    "model": "minimax-m2.5",
    "workload": {"prompt_tokens": 1000, "output_tokens": 500, "requests_per_s": 1},
    "requirements": {"max_sequence_tokens": 8192},
}
SMALL: dict[str, Any] = {
    "hardware": {"gpu": "h100-sxm-80gb", "gpus_per_node": 2},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 100, "output_tokens": 50, "requests_per_s": 1},
    "requirements": {"max_sequence_tokens": 1024, "max_batch": 8},
}


def _holds(facts: dict[str, Any], fixed: Fixed, rule: str) -> bool:
    return {result.id: result.holds for result in check(problem_from_dict(facts), fixed).rules}[rule]


def test_blocks_of_fp8_stay_whole_when_experts_are_sliced() -> None:
    # 1,536 / 8 = 192 is no multiple of 128 (vllm 17569); whole experts, or 1,536 / 4 = 384, are.
    assert not _holds(MINIMAX, Fixed(8, 1, 1, expert_parallel=1), "quant_blocks")
    assert _holds(MINIMAX, Fixed(8, 1, 1, expert_parallel=8), "quant_blocks")
    assert _holds(MINIMAX, Fixed(4, 1, 2), "quant_blocks")
    best = solve(problem_from_dict(MINIMAX)).strategy
    assert best is not None and not (best.tensor_parallel == 8 and best.expert_parallel == 1)


# DeepSeek-V2-Lite in blocks of fp8: a head's queries are 128 + 64 wide, so that one head a GPU is no whole number of blocks.
LATENT: dict[str, Any] = {
    "model_type": "deepseek_v2", "hidden_size": 2048, "intermediate_size": 10944, "moe_intermediate_size": 1408,
    "num_hidden_layers": 27, "num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2,
    "num_experts_per_tok": 6, "first_k_dense_replace": 1, "vocab_size": 102400, "max_position_embeddings": 163840,
    "torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128],
    "modules_to_not_convert": [f"model.layers.{i}.mlp" for i in range(27)]},
}  # fmt: skip


@pytest.mark.parametrize(("tp", "whole"), [(2, True), (8, True), (16, False)])
def test_blocks_of_latent_attention_stay_whole(tp: int, whole: bool) -> None:
    facts = changed(SMALL, model=LATENT, hardware__gpu="h100", hardware__gpus_per_node=16)
    answer = check(problem_from_dict(facts), Fixed(tp, 1, 1, 1))
    rules = {rule.id: rule for rule in answer.rules}
    assert rules["quant_blocks"].holds is whole
    assert answer.verification is None or not answer.verification.mismatches
    if not whole:
        assert "3,072 / 16 = 192" in str(rules["quant_blocks"])


def test_delta_nets_have_heads_and_blocks_of_their_own() -> None:
    model = lookup.model("qwen3.5-27b-fp8")
    assert (model.attention_head_counts, model.attention_outputs, model.attention_inputs) == (
        (16, 24),
        (16384,),
        (6144,),
    )
    facts = changed(SMALL, model="qwen3.5-27b-fp8", hardware__gpu="h100", hardware__gpus_per_node=8)
    rules = {rule.id: rule.holds for rule in check(problem_from_dict(facts), Fixed(3, 1, 1)).rules}
    assert not rules["attention_heads"]


def test_groups_of_awq_stay_whole() -> None:
    facts = changed(
        SMALL, hardware__gpu="a100-sxm-80gb", hardware__gpus_per_node=8, model=AWQ_72B, requirements__max_batch=4
    )
    assert [tp for tp in (1, 2, 4, 8) if _holds(facts, Fixed(tp, 1, 1), "quant_groups")] == [1]


def test_another_format_has_no_blocks() -> None:
    assert _holds(MINIMAX, Fixed(8, 1, 1, expert_parallel=1, weight_precision="bf16"), "quant_blocks")


FORMATS: list[tuple[str, str, str, str, bool]] = [
    # engine, GPU, format of the weights, of the cache, whether both run
    ("vllm", "v100-32gb", "fp16", "fp16", True),
    ("vllm", "v100-32gb", "bf16", "fp16", False),
    ("vllm", "v100-32gb", "fp8", "fp16", False),
    ("vllm", "v100-32gb", "fp16", "fp8", False),
    ("vllm", "t4", "fp8", "fp16", True),
    ("vllm", "t4", "bf16", "fp16", False),
    ("vllm", "t4", "mxfp4", "fp16", False),
    ("vllm", "a100", "fp8", "bf16", True),
    ("vllm", "mi300x", "fp8", "fp8", True),
    ("vllm", "mi250x", "fp8", "bf16", False),
    ("vllm", "mi300x", "nvfp4", "bf16", False),
    ("vllm", "b200", "nvfp4", "fp8", True),
    ("sglang", "v100-32gb", "fp16", "fp16", False),
    ("sglang", "t4", "fp8", "fp16", False),
    ("sglang", "a100", "fp8", "bf16", True),
    ("sglang", "h100", "nvfp4", "bf16", True),
    ("sglang", "t4", "nvfp4", "fp16", False),
    ("sglang", "gaudi3", "bf16", "bf16", False),
    ("vllm", "h100", "bf16", "fp8_e5m2", True),
    ("vllm", "t4", "fp16", "fp8_e5m2", False),
    ("vllm", "mi300x", "bf16", "fp8_e5m2", False),
    ("vllm", "h100", "bf16", "int8", False),
    ("sglang", "a100", "bf16", "fp8_e5m2", True),
    ("sglang", "h100", "bf16", "int8", False),
    ("trtllm", "h100", "bf16", "fp8_e5m2", False),
]


@pytest.mark.parametrize(("engine", "gpu", "weights", "cache", "runs"), FORMATS, ids=lambda v: str(v))
def test_formats_by_compute_capability(engine: str, gpu: str, weights: str, cache: str, runs: bool) -> None:
    facts = changed(SMALL, engine=engine, hardware__gpu=gpu, hardware__gpus_per_node=2)
    answer = check(problem_from_dict(facts), Fixed(1, 1, 1, weight_precision=weights, kv_precision=cache))
    rules = {rule.id: rule.holds for rule in answer.rules}
    assert (rules["weight_format"] and rules["kv_format"]) == runs
    assert answer.verification is None or not answer.verification.mismatches


@pytest.mark.parametrize(
    ("stated", "cache"), [("auto", "bf16"), (["auto"], "bf16"), (["fp8_e4m3"], "fp8"), (["bfloat16"], "bf16")]
)
def test_names_of_engines_for_the_formats_of_the_cache(stated: Any, cache: str) -> None:
    facts = changed(SMALL, search__kv_precision=stated, hardware__gpu="h100", hardware__gpus_per_node=1)
    answer = solve(problem_from_dict(facts))
    assert answer.strategy is not None and answer.strategy.kv_precision == cache


def test_a_checkpoint_in_fp8_refuses_a_cache_in_e5m2() -> None:
    kernels, stored = kernels_of("vllm"), Quantization(method="fp8", weight_format="fp8")
    assert kernels.runs_cache("fp8_e5m2", None, lookup.gpu("h100"))
    assert not kernels.runs_cache("fp8_e5m2", stored, lookup.gpu("h100"))
    assert kernels.runs_cache("fp8", stored, lookup.gpu("h100"))


def test_a_cache_that_does_not_run_is_a_broken_rule_with_what_to_use() -> None:
    facts = changed(SMALL, search__kv_precision=["int8"], hardware__gpu="h100", hardware__gpus_per_node=1)
    answer = solve(problem_from_dict(facts))
    assert answer.status == "infeasible"
    assert any(change.new == ["int8", "fp8"] for repair in answer.repairs for change in repair.changes)
    problem = problem_from_dict(changed(facts, search__kv_precision=["bf16"]))
    found = check(problem, Fixed(1, 1, 1, kv_precision="int8"))
    [broken] = [rule for rule in found.rules if rule.id == "kv_format"]
    assert not broken.holds and str(broken.limit) == "fp16 or bf16 or fp8 or fp8_e5m2"
    assert found.strategy is not None
    with pytest.raises(ProblemError, match=r"int8 does not run on h100.*fp8 or fp16 would be right"):
        refuse_formats([problem], found.strategy, Options("vllm", "0.32.0", "compose", "x", "bf16", "", {}))


def test_integer_products_are_gone_on_blackwell() -> None:
    kernels = kernels_of("vllm")
    stored = Quantization(method="compressed-tensors", weight_format="int8", activation_format="int8")
    assert kernels.runs_weights("int8", stored, lookup.gpu("h100"))
    assert not kernels.runs_weights("int8", stored, lookup.gpu("rtx-5090"))
    assert kernels.runs_weights("int8", stored.model_copy(update={"activation_format": None}), lookup.gpu("rtx-5090"))


# Checkpoints that people start: engine, GPU, quant_method and format, and whether the engine takes them.
CHECKPOINTS: list[tuple[str, str, str, WeightFormat, bool]] = [
    ("vllm", "v100-32gb", "gptq", "int4", True),
    ("vllm", "v100-32gb", "awq", "int4", False),
    ("vllm", "v100-32gb", "bitsandbytes", "int4", True),
    ("vllm", "v100-32gb", "gguf", "int4", True),
    ("vllm", "v100-32gb", "compressed-tensors", "int4", False),
    ("vllm", "v100-32gb", "compressed-tensors", "int8", False),
    ("vllm", "t4", "awq", "int4", True),
    ("vllm", "t4", "compressed-tensors", "int4", True),
    ("vllm", "t4", "fp8", "fp8", True),
    ("vllm", "t4", "mxfp4", "mxfp4", False),
    ("vllm", "a100-sxm-80gb", "fp8", "fp8", True),
    ("vllm", "a100-sxm-80gb", "compressed-tensors", "fp8", True),
    ("vllm", "a100-sxm-80gb", "modelopt", "fp8", False),
    ("vllm", "a100-sxm-80gb", "modelopt", "nvfp4", True),
    ("vllm", "a100-sxm-80gb", "mxfp4", "mxfp4", True),
    ("vllm", "l40s", "modelopt", "fp8", True),
    ("vllm", "h100", "modelopt", "fp8", True),
    ("vllm", "h100", "compressed-tensors", "nvfp4", True),
    ("vllm", "rtx-5090", "modelopt", "nvfp4", True),
    ("vllm", "rtx-3090", "mxfp4", "mxfp4", True),
    ("vllm", "mi300x", "fp8", "fp8", True),
    ("vllm", "mi300x", "modelopt", "fp8", False),
    ("vllm", "mi300x", "modelopt", "nvfp4", False),
    ("vllm", "mi300x", "quark", "fp8", True),
    ("vllm", "mi300x", "awq", "int4", True),
    ("vllm", "mi300x", "mxfp4", "mxfp4", True),
    ("vllm", "mi250x", "fp8", "fp8", False),
    ("vllm", "gaudi3", "fp8", "fp8", True),
    ("sglang", "v100-32gb", "gptq", "int4", False),
    ("sglang", "t4", "awq", "int4", True),
    ("sglang", "t4", "fp8", "fp8", False),
    ("sglang", "t4", "compressed-tensors", "int4", False),
    ("sglang", "a100-sxm-80gb", "compressed-tensors", "int4", True),
    ("sglang", "a100-sxm-80gb", "modelopt", "fp8", False),
    ("sglang", "a100-sxm-80gb", "fp8", "fp8", True),
    # sglang 0.5.23, get_min_capability of each config and scheme.
    ("sglang", "h100", "modelopt", "nvfp4", True),
    ("sglang", "a100-sxm-80gb", "compressed-tensors", "nvfp4", True),
    ("sglang", "a100-sxm-80gb", "quark", "fp8", False),
    ("sglang", "l40s-48gb", "quark", "fp8", True),
    ("sglang", "a100-sxm-80gb", "w8a8_fp8", "fp8", False),
    ("sglang", "a100-sxm-80gb", "w4afp8", "int4", False),
    ("sglang", "h100", "w4afp8", "int4", True),
    ("sglang", "t4", "compressed-tensors", "int8", False),
    ("sglang", "t4", "awq", "int4", True),
    ("sglang", "b200", "modelopt", "nvfp4", True),
    ("sglang", "mi300x", "compressed-tensors", "int4", True),
    ("sglang", "mi300x", "bitsandbytes", "int4", False),
    ("sglang", "mi300x", "gguf", "int4", False),
    ("sglang", "mi300x", "modelopt", "fp8", False),
    ("sglang", "mi355x", "quark", "mxfp4", True),
    ("trtllm", "v100-32gb", "gptq", "int4", False),
    ("trtllm", "a100-sxm-80gb", "awq", "int4", True),
    ("trtllm", "a100-sxm-80gb", "modelopt", "fp8", False),
    ("trtllm", "h100", "modelopt", "fp8", True),
    ("trtllm", "h100", "modelopt", "nvfp4", False),
    ("trtllm", "b200", "modelopt", "nvfp4", True),
    ("trtllm", "b200", "awq", "int4", False),
    ("trtllm", "h100", "gguf", "int4", False),
]


def test_experts_in_fp8_need_more_than_linear_layers_where_the_engine_says_so() -> None:
    # SGLang 0.5.23 on A100: Marlin for linear layers alone; vLLM has it for experts too.
    a100, h100 = lookup.gpu("a100-sxm-80gb"), lookup.gpu("h100")
    dense = Quantization(method="fp8", weight_format="fp8")
    routed = dense.model_copy(update={"expert_format": "fp8"})
    sglang, vllm = kernels_of("sglang"), kernels_of("vllm")
    assert sglang.runs_weights("fp8", dense, a100) and not sglang.runs_weights("fp8", routed, a100)
    assert sglang.runs_weights("fp8", routed, h100) and vllm.runs_weights("fp8", routed, a100)


def test_layers_of_another_format_need_their_own_kernels() -> None:
    mixed = Quantization(method="modelopt_mixed", weight_format="int4", other_formats=("nvfp4",))
    t4, a100 = lookup.gpu("t4"), lookup.gpu("a100-sxm-80gb")
    assert not kernels_of("sglang").runs_weights("int4", mixed, t4) and kernels_of("sglang").runs_weights(
        "int4", mixed, a100
    )
    # vLLM validated a mixed checkpoint on T4 and A100 (modelopt.py, ModelOptMixedPrecisionConfig).
    stored = Quantization(method="modelopt_mixed", weight_format="nvfp4", other_formats=("fp8",))
    assert kernels_of("vllm").runs_weights("nvfp4", stored, a100) and kernels_of("vllm").runs_weights(
        "nvfp4", stored, t4
    )


def test_checkpoints_that_people_start() -> None:
    wrong = [
        (engine, gpu, method, weights)
        for engine, gpu, method, weights, runs in CHECKPOINTS
        if kernels_of(engine).runs_weights(weights, Quantization(method=method, weight_format=weights), lookup.gpu(gpu))
        != runs
    ]
    assert not wrong


def test_sixteen_bit_falls_back_where_bfloat16_is_not_computed() -> None:
    answer = solve(problem_from_dict(changed(SMALL, hardware__gpu="v100-32gb")))
    assert answer.strategy is not None
    assert (answer.strategy.weight_precision, answer.strategy.kv_precision) == ("fp16", "fp16")
    assert any("served in fp16" in note for note in answer.search_limits)


def test_no_repair_candidates_a_format_that_does_not_run() -> None:
    facts = changed(SMALL, hardware__gpu="v100-16gb", hardware__gpus_per_node=1, requirements__min_batch=8)
    facts = changed(facts, requirements__max_sequence_tokens=8192)
    answer = solve(problem_from_dict(facts))
    assert answer.status == "infeasible"
    assert not any("fp8" in str(change.new) for repair in answer.repairs for change in repair.changes)


def test_capability_follows_from_the_rates_where_it_is_not_stated() -> None:
    inline = {
        "memory_mib": 32510,
        "memory_bandwidth_gb_per_s": 900,
        "dense_tflops": {"fp16": 112},
        "gpus_per_node": 3,
    }
    for name, capability in (("some card", "7.0"), ("Tesla V100-SXM2-32GB", "7.0"), ("A100", "8.0")):
        gpu = problem_from_dict(changed(SMALL, hardware__gpu={"name": name, **inline})).hardware.gpu
        assert gpu.capability == capability


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_every_format_is_known_to_every_engine(engine: str) -> None:
    kernels = kernels_of(engine)
    assert set(kernels.weights) == set(get_args(WeightFormat)) and set(kernels.caches) >= set(get_args(KvFormat))
    for support in (*kernels.weights.values(), *kernels.methods.values(), *kernels.caches.values()):
        assert len(support.source) > 10 and set(support.instead) <= set(kernels.weights)
    assert all(len(rule.source) > 20 and rule.repair for rule in kernels.slices)


def test_the_registry_is_the_schema() -> None:
    assert set(ENGINE_NAMES) == set(get_args(Engine))


@pytest.mark.parametrize("name", ["minimax-m2.5", "deepseek-v3", "gpt-oss-120b", "llama3.1-8b"])
@pytest.mark.parametrize(
    ("gpu", "engine"),
    [("h200", "vllm"), ("a100", "vllm"), ("t4", "vllm"), ("mi300x", "vllm"), ("h200", "trtllm"), ("b200", "sglang")],
)
def test_both_homes_agree(name: str, gpu: str, engine: str) -> None:
    """The rules of the search and those of the verifier, over every row of a space."""
    problem: Problem = problem_from_dict(
        changed(
            SMALL,
            model=name,
            engine=engine,
            hardware__gpu=gpu,
            hardware__nodes=2,
            hardware__gpus_per_node=8,
            search={"weight_precision": ["fp16", "bf16", "fp8", "mxfp4", "int4"], "kv_precision": ["bf16", "fp8"]},
        )
    )
    from optimizer.search.uniform.quantities import Quantities

    space = build_space(problem)
    quantities = Quantities(problem, space)
    ids = {
        "weight_format",
        "kv_format",
        "quant_blocks",
        "quant_groups",
        "quant_expert_groups",
        "nvlink_locality",
        "expert_groups",
    }
    judged = {}
    for rule in rules_for(problem):
        if rule.id in ids:
            judged[rule.id] = rule
    seen: dict[Row, int] = {}
    for row in range(space.rows):
        shape = space.shapes[space.row_shape[row]]
        group = Group(shape.tp, shape.ep, shape.weight_format, shape.kv_format, shape.slice_ranks, shape.dcp)
        seen.setdefault(Row(ReplicaShape(group, shape.layers_per_stage), int(space.row_dp[row])), row)
    from optimizer.search.uniform.rule import Choice

    for one, row in list(seen.items())[:: max(1, len(seen) // 150)]:
        theirs = {finding.id: finding.holds for finding in row_findings(problem, one) if finding.id in ids}
        assert theirs == {name: rule.judge(quantities, Choice(row, 1)).holds for name, rule in judged.items()}


def test_modules_that_stay_in_sixteen_bit_are_not_quantised() -> None:
    assert quantised_modules(lookup.model("gpt-oss-120b")) == {"experts"}
    assert "attention" in quantised_modules(lookup.model("minimax-m2.5"))
