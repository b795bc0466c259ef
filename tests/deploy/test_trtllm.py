"""TensorRT-LLM: every setting is the answer's and one that the engine has; what it cannot run, or is not known, is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from optimizer.deployment.engines import commander_of
from optimizer.engines.flags import engine_flags
from optimizer.facts.engine_names import ENGINE_NAMES
from optimizer.facts.errors import ProblemError
from optimizer.reading.load import problem_from_dict
from optimizer.search.uniform.space import build_space
from tests.deploy.cases import CASES, LLAMA, QWEN, commands_in, files_of, problem, strategy, value, written

KNOWN = ("shell", "compose", "kubernetes", "systemd", "slurm")
ON_ONE_NODE = ("one instance", "two instances", "uneven layers", "many nodes, spread")


def _settings(files: dict[str, str]) -> dict[str, Any]:
    """The file of settings, which Kubernetes has in a ConfigMap."""
    if "engines.yaml" not in files:
        found: dict[str, Any] = yaml.safe_load(files["trtllm-0.yaml"])
        return found
    documents = list(yaml.safe_load_all(files["engines.yaml"]))
    (data,) = [one["data"] for one in documents if one["kind"] == "ConfigMap"]
    return dict(yaml.safe_load(data["trtllm-0.yaml"]))


@pytest.mark.parametrize(
    ("name", "target"),
    [*((name, "shell") for name in ON_ONE_NODE), *(("two instances", target) for target in KNOWN[1:])],
)
def test_settings_are_the_answers(name: str, target: str) -> None:
    files, stated, chosen = files_of(name, "trtllm", target)
    settings, flags = _settings(files), engine_flags("trtllm")
    processes = commands_in(files)
    assert processes and set(settings) <= flags.settings
    for process in processes:
        words = process["words"]
        assert words[:2] == ["trtllm-serve", stated.model.huggingface_id]
        expected = {
            "--tp_size": chosen.tensor_parallel,
            "--pp_size": chosen.pipeline_parallel,
            "--max_batch_size": chosen.max_num_seqs,
            "--max_num_tokens": stated.search.max_num_batched_tokens,
            "--max_seq_len": stated.max_sequence_tokens,
        }
        assert {flag: value(words, flag) for flag in expected} == {flag: str(one) for flag, one in expected.items()}
        assert value(words, "--ep_size") == (str(chosen.expert_parallel) if chosen.expert_parallel > 1 else None)
        assert {word for word in words if word.startswith("--")} <= flags.known
        folder = "/launch" if target in ("compose", "kubernetes") else "."
        assert value(words, "--extra_llm_api_options") == f"{folder}/trtllm-0.yaml"
    assert settings["dtype"] == {"fp16": "float16", "bf16": "bfloat16"}[stated.model.native_dtype]
    assert settings.get("pp_partition") == (list(chosen.layers_per_stage) if chosen.pipeline_parallel > 1 else None)
    assert settings["enable_chunked_prefill"] is True and "enable_attention_dp" not in settings
    assert settings["scheduler_config"] == {"capacity_scheduler_policy": "MAX_UTILIZATION"}
    assert "kv_cache_config.free_gpu_memory_fraction" in files["README.md"]
    if target == "compose":
        assert all(process["service"]["ulimits"] == {"memlock": -1, "stack": 67108864} for process in processes)


@pytest.mark.parametrize(
    ("name", "target"), [*((name, "shell") for name in CASES if name not in ON_ONE_NODE), ("one instance", "ray")]
)
def test_the_rest_is_refused_in_one_sentence(name: str, target: str) -> None:
    with pytest.raises(ProblemError) as refused:
        files_of(name, "trtllm", target)
    # Experts of TP 4 on H100 do not fit at all.
    ways = ("would be right", "--engine vllm", "--model-id", "leaves nothing for the KV cache")
    assert any(way in str(refused.value) for way in ways)


def test_replicas_of_one_gpu_share_experts_by_attention_data_parallelism() -> None:
    stated = problem(QWEN, 1, "trtllm", gpu="h200")
    files, _ = written(stated, strategy(stated, tp=1, pp=1, dp=8, ep=8), "shell")
    (process,) = commands_in(files)
    assert value(process["words"], "--tp_size") == value(process["words"], "--ep_size") == "8"
    assert value(process["words"], "--max_batch_size") == "24"  # of a rank
    assert _settings(files)["enable_attention_dp"] is True


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_the_cache_gets_what_the_limit_leaves(tp: int) -> None:
    """In whole thousandths of what lies free beside weights and buffers, by the answer's own parts."""
    from optimizer.costs.breakdown import breakdown
    from optimizer.costs.shapes import Shape

    stated = problem(LLAMA, 1, "trtllm", gpu="h200")
    chosen = strategy(stated, tp=tp, pp=1, dp=1)
    files, _ = written(stated, chosen, "shell")
    share = _settings(files)["kv_cache_config"]["free_gpu_memory_fraction"]
    shape = Shape(tp, 1, 1, chosen.weight_precision, chosen.kv_precision, chosen.layers_per_stage)
    (stage,) = breakdown(stated, shape, chosen.max_num_seqs, 1)["memory_bytes_by_stage"]
    memory, beside = stated.hardware.gpu.memory_bytes, sum(stage.values()) - stage["KV cache"]
    used = beside + share * (memory - beside)
    limit = stated.requirements.gpu_memory_utilization
    assert limit * memory - 0.001 * (memory - beside) <= used <= limit * memory


def test_guesses_and_prefixes() -> None:
    values = {
        "name": "n",
        "engine": "trtllm",
        "hardware": {"gpu": "h200", "nodes": 1, "gpus_per_node": 8},
        "model": "llama3.1-8b",
        "workload": {
            "prompt_tokens": 1000,
            "output_tokens": 100,
            "requests_per_s": 1,
            "prefix": {"shared_tokens": 512, "hit_rate": 0.5},
            "speculation": {"method": "ngram", "acceptance": 0.5},
        },
    }
    stated = problem_from_dict(values).decided({"speculative_tokens": 3})
    files, _ = written(stated, strategy(stated, tp=1, pp=1, dp=1), "shell")
    settings = _settings(files)
    assert settings["speculative_config"] == {"decoding_type": "NGram", "max_draft_len": 3}
    assert settings["kv_cache_config"]["enable_block_reuse"] is True


def test_cache_reserved_in_full_is_guaranteed() -> None:
    stated = problem(LLAMA, 1, "trtllm")
    search = stated.search.model_copy(update={"kv_reservation": "full"})
    stated = stated.model_copy(update={"search": search})
    files, _ = written(stated, strategy(stated, tp=8, pp=1, dp=1), "shell")
    assert _settings(files)["scheduler_config"] == {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"}


def test_a_folder_is_served_under_its_own_name() -> None:
    stated = problem(LLAMA, 1, "trtllm")
    files, _ = written(
        stated, strategy(stated, tp=8, pp=1, dp=1), "shell", model_id="/models/llama", checkpoint_format="bf16"
    )
    assert "requests ask for the model llama." in files["README.md"]


def test_the_search_looks_at_what_the_engine_runs() -> None:
    """Replicas of several GPUs a stage share no experts; a part of a TP group may hold whole ones."""
    shapes = build_space(problem(QWEN, 2, "trtllm", gpu="h200")).shapes
    assert all(shape.ep <= shape.tp or shape.tp == 1 for shape in shapes)
    assert any(1 < shape.ep < shape.tp for shape in shapes) and any(shape.ep > shape.tp for shape in shapes)


def test_blocks_of_fp8_run_on_hopper_and_on_large_blackwells_only() -> None:
    from optimizer.engines.kernels import kernels_of

    for gpu, runs in (
        ("h100-sxm-80gb", True),
        ("b200-sxm-180gb", True),
        ("l40s-48gb", False),
        ("rtx-5090-32gb", False),
    ):
        stated = problem("deepseek-v3", 1, "trtllm", gpu=gpu)
        kernels = kernels_of("trtllm")
        assert kernels.runs_weights("fp8", stated.model.quantization, stated.hardware.gpu) is runs
        assert kernels.runs_weights("fp8", None, stated.hardware.gpu)


def test_a_start_up_log_tells_the_cache() -> None:
    from optimizer.deployment.observed import read_log

    said = "[TensorRT-LLM][INFO] [MemUsageChange] Allocated 41.11 GiB for max tokens in paged KV cache (524288)."
    assert read_log("log", said).kv_cache_tokens == 524288


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_every_engine_has_who_writes_its_commands(engine: str) -> None:
    assert commander_of(engine).PORT_STEP >= 1
