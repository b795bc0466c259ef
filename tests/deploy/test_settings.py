"""Every number in a launch file is the answer's, and every flag is one that the engine has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.deployment.formats import block_flags
from optimizer.deployment.options import TARGETS, Options
from optimizer.engines.flags import engine_flags, versions
from optimizer.facts.errors import ProblemError
from tests.deploy.cases import CASES, commands_in, files_of, problem, strategy, value, written

EVERY = [(name, engine, target) for name in CASES for engine in ("vllm", "sglang") for target in TARGETS]


def _commands(name: str, engine: str, target: str) -> list[dict[str, Any]]:
    files, _, _ = files_of(name, engine, target)
    return commands_in(files)


@pytest.mark.parametrize(("name", "engine", "target"), EVERY)
def test_numbers_are_the_answers(name: str, engine: str, target: str) -> None:
    files, stated, chosen = files_of(name, engine, target)
    ranks = max(1, chosen.expert_parallel // chosen.tensor_parallel)
    processes = commands_in(files)
    assert processes
    for process in processes:
        words, environment = process["words"], process["environment"]
        if engine == "vllm":
            assert words[:3] == ["vllm", "serve", stated.model.huggingface_id]
            expected = {
                "--tensor-parallel-size": chosen.tensor_parallel,
                "--pipeline-parallel-size": chosen.pipeline_parallel,
                "--max-num-seqs": chosen.max_num_seqs,
                "--max-num-batched-tokens": stated.search.max_num_batched_tokens,
                "--max-model-len": stated.max_sequence_tokens,
                "--gpu-memory-utilization": stated.requirements.gpu_memory_utilization,
            }
            assert ("--enable-expert-parallel" in words) == (chosen.expert_parallel > 1)
            assert value(words, "--data-parallel-size") == (str(ranks) if ranks > 1 else None)
        else:
            assert words[:3] == ["python3", "-m", "sglang.launch_server"]
            expected = {
                "--tp-size": chosen.tensor_parallel * ranks,
                "--pp-size": chosen.pipeline_parallel,
                "--max-running-requests": chosen.max_num_seqs * ranks,
                "--chunked-prefill-size": stated.search.max_num_batched_tokens * ranks,
                "--context-length": stated.max_sequence_tokens,
            }
            assert value(words, "--ep-size") == (str(chosen.expert_parallel) if chosen.expert_parallel > 1 else None)
            assert value(words, "--attn-dp-size") == (str(ranks) if ranks > 1 else None)
        for flag, number in expected.items():
            assert value(words, flag) == f"{number:g}", flag
        dtype = {"fp16": "float16", "bf16": "bfloat16"}[stated.model.native_dtype]
        assert value(words, "--dtype") == dtype
        split = environment.get("VLLM_PP_LAYER_PARTITION") or environment.get("SGLANG_PP_LAYER_PARTITION")
        layers = ",".join(str(layers) for layers in chosen.layers_per_stage)
        assert split == (layers if chosen.pipeline_parallel > 1 else None)


@pytest.mark.parametrize(("engine", "flag"), [("vllm", "--block-size"), ("sglang", "--page-size")])
@pytest.mark.parametrize(("model", "tokens"), [("minimax-m3", "128"), ("deepseek-v3", None), ("llama3-70b", None)])
def test_cache_blocks_are_as_long_as_those_that_an_indexer_chooses(
    engine: str, flag: str, model: str, tokens: str | None
) -> None:
    """MiniMax-M3 does not start with vLLM's blocks of 16 tokens."""
    flags = block_flags(catalog.model(model), Options(engine, "", "shell", "", "", "", {}))
    assert flags == ([flag, tokens] if tokens else [])
    assert flag in engine_flags(engine).known


@pytest.mark.parametrize(("name", "engine", "target"), EVERY)
def test_flags_are_the_engines_own(name: str, engine: str, target: str, shared: Path) -> None:
    file = {"vllm": "vllm_serve_flags.json", "sglang": "sglang_launch_flags.json"}[engine]
    data = json.loads((shared / "engines" / file).read_text())
    known = {spelling: entry for entry in data["flags"] for spelling in entry["flags"]}
    server = {"--host", "--port", "--headless"}  # of vLLM's API server, which the list leaves out
    assert engine_flags(engine).version == data["version"]
    for process in _commands(name, engine, target):
        words = process["words"]
        for place, word in enumerate(words):
            if not word.startswith("--") or (engine == "vllm" and word in server):
                continue
            assert word in known, word
            entry = known[word]
            if entry.get("choices"):
                assert words[place + 1] in entry["choices"], word
            kind = str(entry["type"]).lower()
            if kind in ("int", "optional[int]"):
                assert words[place + 1].lstrip("$(").rstrip(")").replace("_", "").isalnum()
                assert words[place + 1].isdigit() or words[place + 1] in ("$(LWS_WORKER_INDEX)", "$SLURM_NODEID")
            if kind == "bool":
                assert place + 1 == len(words) or words[place + 1].startswith("--")


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("name", CASES)
def test_each_gpu_is_used_once(name: str, engine: str) -> None:
    files, _, chosen = files_of(name, engine, "shell")
    seen: list[tuple[str, str]] = []
    ports: list[tuple[str, str]] = []
    for file, text in files.items():
        if file.startswith("start-node"):
            for process in commands_in({file: text}):
                seen += [(file, gpu) for gpu in process["environment"]["CUDA_VISIBLE_DEVICES"].split(",")]
                for flag in ("--port", "--master-port", "--dist-init-addr"):
                    if value(process["words"], flag):
                        ports.append((file, str(value(process["words"], flag))))
    assert len(seen) == len(set(seen)) == chosen.gpus
    assert len(ports) == len(set(ports))


def test_each_start_in_kubernetes_asks_for_its_gpus() -> None:
    for name, (_, _, decisions) in CASES.items():
        files, stated, chosen = files_of(name, "vllm", "kubernetes")
        import yaml

        gpus = 0
        for document in yaml.safe_load_all(files["engines.yaml"]):
            if document["kind"] == "Deployment":
                gpus += document["spec"]["replicas"] * commands_in({"a.yaml": yaml.safe_dump(document)})[0]["gpus"]
            if document["kind"] == "LeaderWorkerSet":
                per_pod = commands_in({"a.yaml": yaml.safe_dump(document)})[0]["gpus"]
                gpus += document["spec"]["replicas"] * document["spec"]["leaderWorkerTemplate"]["size"] * per_pod
        assert gpus == chosen.gpus == decisions["tp"] * decisions["pp"] * decisions["dp"], (name, stated.name)


def test_vllm_converts_with_the_name_that_this_version_takes() -> None:
    words = _commands("fp8 made on loading", "vllm", "shell")[0]["words"]
    assert value(words, "--quantization") == "fp8_per_tensor"
    assert value(words, "--kv-cache-dtype") == "fp8"
    words = _commands("fp8 made on loading", "sglang", "shell")[0]["words"]
    assert value(words, "--quantization") == "fp8"
    assert value(words, "--kv-cache-dtype") == "fp8_e4m3"


def test_a_checkpoint_in_another_format_must_be_named() -> None:
    stated = problem("deepseek-v3", 2)
    chosen = strategy(stated, 8, 2, 1, weights="bf16")
    with pytest.raises(ProblemError, match=r"stored in fp8.*--checkpoint-format bf16"):
        written(stated, chosen, "shell")
    files, _ = written(stated, chosen, "shell", model_id="me/DeepSeek-V3-bf16", checkpoint_format="bf16")
    words = commands_in(files)[0]["words"]
    assert words[2] == "me/DeepSeek-V3-bf16"
    assert "--quantization" not in words
    llama = problem("llama3-70b", 1)
    with pytest.raises(ProblemError, match="cannot make int4"):
        written(llama, strategy(llama, 2, 1, 1, weights="int4"), "shell")


def test_a_published_checkpoint_is_named_where_one_is_known() -> None:
    """In the refusal where the engine cannot convert, in the README where it would at every start; in a form that it reads."""
    stated = problem("llama3.1-8b", 1)
    files, _ = written(stated, strategy(stated, 1, 1, 1, weights="fp8"), "shell")
    known = "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8"
    assert f"--model-id {known} --checkpoint-format fp8" in files["README.md"]
    files, _ = written(
        stated, strategy(stated, 1, 1, 1, weights="fp8"), "shell", model_id=known, checkpoint_format="fp8"
    )
    assert "is published in" not in files["README.md"] and "--quantization" not in commands_in(files)[0]["words"]
    other = problem("llama3.1-8b", 1, "trtllm")
    with pytest.raises(ProblemError, match=r"--model-id nvidia/Llama-3.1-8B-Instruct-FP8 --checkpoint-format fp8"):
        written(other, strategy(other, 1, 1, 1, weights="fp8"), "shell")
    larger = problem("qwen3-32b", 1)
    with pytest.raises(ProblemError, match=r"--model-id Qwen/Qwen3-32B-AWQ --checkpoint-format int4"):
        written(larger, strategy(larger, 2, 1, 1, weights="int4"), "shell")


def test_published_checkpoints_are_of_models_of_the_catalog() -> None:
    from optimizer.catalog import lookup, quantised
    from optimizer.facts.model import WeightFormat

    own = {lookup.entry("models", name)["huggingface_id"] for name in lookup.names("models")}
    assert set(quantised._checkpoints()) <= own
    for formats in quantised._checkpoints().values():
        assert set(formats) <= set(get_args(WeightFormat)) and all(formats.values())
        assert all(name.count("/") == 1 for stored in formats.values() for name in stored)


def test_sglang_has_no_fp16_cache_beside_bf16_weights() -> None:
    stated = problem("qwen3-32b", 1, "sglang")
    with pytest.raises(ProblemError, match="--kv: fp16 beside bf16"):
        written(stated, strategy(stated, 2, 1, 1, kv="fp16"), "shell")
    files, _ = written(stated, strategy(stated, 2, 1, 1, weights="fp16", kv="fp16"), "shell")
    assert value(commands_in(files)[0]["words"], "--kv-cache-dtype") == "auto"


def test_a_config_file_needs_a_model_id() -> None:
    stated = problem("llama3-70b", 1)
    bare = stated.model_copy(update={"model": stated.model.model_copy(update={"huggingface_id": ""})})
    with pytest.raises(ProblemError, match="--model-id: is needed"):
        written(bare, strategy(bare, 8, 1, 1), "shell")
    assert commands_in(written(bare, strategy(bare, 8, 1, 1), "shell", model_id="/models/mine")[0])
    for bad in ("$(reboot)", "--flag", "x;y", "`x`", "a\nb"):
        with pytest.raises(ProblemError, match="--model-id"):
            written(bare, strategy(bare, 8, 1, 1), "shell", model_id=bad)
    for fine in ("/models/with a space", "/модели/größe v2", "/models/jane's (new)", "C:/models"):
        for target in ("shell", "compose", "kubernetes"):
            words = commands_in(written(bare, strategy(bare, 8, 1, 1), target, model_id=fine)[0])[0]["words"]
            assert fine in words


def test_unknown_versions_are_refused_not_guessed() -> None:
    stated = problem("llama3-70b", 1)
    with pytest.raises(ProblemError, match=r"--engine-version: the flags of vllm 0\.34\.0 are not known"):
        written(stated, strategy(stated, 8, 1, 1), "shell", version="0.34.0")
    for engine in ("vllm", "sglang"):
        for version in versions(engine):
            assert engine_flags(engine, version).version == version
    assert written(stated, strategy(stated, 8, 1, 1), "shell", version="v0.32.0")


def test_a_flag_that_the_engine_does_not_have_never_gets_out() -> None:
    flags = engine_flags("vllm")
    flags.refuse_unknown(["vllm", "serve", "m", "--dtype", "float16", "--headless"], ["VLLM_PP_LAYER_PARTITION"])
    for words, names in ((["--tp"], []), (["--dtype", "fp16"], []), ([], ["VLLM_PP_SPLIT"])):
        with pytest.raises(RuntimeError, match="is no"):
            flags.refuse_unknown(words, names)


def test_sglang_share_leaves_room_for_the_rest_and_holds_the_cache() -> None:
    from optimizer.costs.breakdown import breakdown
    from optimizer.costs.shapes import Shape

    for name, (model, nodes, decisions) in CASES.items():
        stated = problem(model, nodes, "sglang")
        chosen = strategy(stated, **decisions)
        share = float(str(value(_commands(name, "sglang", "shell")[0]["words"], "--mem-fraction-static")))
        shape = Shape(
            chosen.tensor_parallel,
            chosen.pipeline_parallel,
            chosen.expert_parallel,
            chosen.weight_precision,
            chosen.kv_precision,
            chosen.layers_per_stage,
        )
        stages = breakdown(stated, shape, chosen.max_num_seqs, 1)["memory_bytes_by_stage"]
        # What has to be held: one sequence of the longest length.
        full = stated.model_copy(update={"search": stated.search.model_copy(update={"kv_reservation": "full"})})
        for stage, one in zip(stages, breakdown(full, shape, 1, 1)["memory_bytes_by_stage"], strict=True):
            stage["KV cache"] = one["KV cache"]
        total = stated.hardware.gpu.memory_bytes
        if max(sum(stage.values()) for stage in stages) <= 0.87 * total:
            _keeps(share, 0.87, stages, [total] * len(stages))


def _keeps(share: float, limit: float, stages: list[dict[str, int]], total: list[int]) -> None:
    """As SGLang sizes its pools (_profile_available_bytes, _apply_token_constraints), without the CUDA context."""
    free = min(memory - stage["weights"] for memory, stage in zip(total, stages, strict=True))
    pool = free - min(total) * (1 - share)
    largest = max(stage["KV cache"] for stage in stages)
    for memory, stage in zip(total, stages, strict=True):
        cache = pool * stage["KV cache"] / largest if largest else 0
        assert cache >= stage["KV cache"] - 1
        assert sum(stage.values()) - stage["KV cache"] + cache <= limit * memory + 1
