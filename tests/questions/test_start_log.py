"""``optimizer import log``: figures that vLLM, SGLang and TensorRT-LLM printed in public issues and recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from optimizer import problem_from_dict
from optimizer.cli.program import app_of
from optimizer.facts.errors import ProblemError
from optimizer.questions.start_log import overhead_from, read_for
from optimizer.reading.start_log import start_log

V0 = """
INFO 12-02 llm_engine.py:249] Initializing an LLM engine (v0.6.4) with config: model='m', max_seq_len=20000, tensor_parallel_size=1
INFO 12-02 model_runner.py:1072] Loading model weights took 14.9888 GB
INFO 12-02 worker.py:232] the current vLLM instance can use total_gpu_memory (23.58GiB) x gpu_memory_utilization (0.90) = 21.22GiB
INFO 12-02 worker.py:232] model weights take 14.99GiB; non_torch_memory takes 0.35GiB; PyTorch activation peak memory takes 2.07GiB; the rest of the memory reserved for KV Cache is 3.81GiB.
"""  # noqa: E501
"""Llama-3.1-8B on an RTX 3090, https://github.com/vllm-project/vllm/issues/10517."""
V1 = """
INFO 07-22 core.py:69] Initializing a V1 LLM engine (v0.10.0) with config: model='m', max_seq_len=40960, tensor_parallel_size=4
INFO 07-22 gpu_model_runner.py:1892] Model loading took 55.1500 GiB and 44.1 seconds
INFO 07-22 gpu_worker.py:276] Available KV cache memory: 8.11 GiB
INFO 07-22 kv_cache_utils.py:716] GPU KV cache size: 178,880 tokens
"""
"""Qwen3-235B-A22B-FP8 on four H100, https://github.com/vllm-project/vllm/issues/21348; the weights are computed."""
SGLANG = """
server_args=ServerArgs(model_path='m', tp_size=4, mem_fraction_static=0.93, context_length=None)
[TP0] Load weight end. type=Qwen3MoeForCausalLM, dtype=torch.bfloat16, avail mem=22.0 GB, mem usage=55.20 GB.
[TP0] KV Cache is allocated. #tokens: 367404, K size: 8.23 GB, V size: 8.23 GB
[TP0] Capture cuda graph end. Time elapsed: 9.5 s. mem usage=1.91 GB. avail mem=3.1 GB.
"""
"""The same model and issue in SGLang."""


def problem(gpu: str, gpus: int, model: str, **search: object) -> dict[str, object]:
    return {
        "hardware": {"gpu": gpu, "nodes": 1, "gpus_per_node": gpus},
        "model": model,
        "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 0.2},
        "search": search,
    }


def test_parts_that_vllm_0_prints() -> None:
    found = read_for(
        start_log(V0, "v0.log"),
        problem_from_dict(problem("rtx-3090-24gb", 1, "llama3.1-8b", max_num_batched_tokens=20000)),
        None,
        None,
    )
    said = found.overhead
    assert (said.non_torch_mib, said.activations_mib, said.context_mib) == (359, 2120, 0)
    by = {figure.what: figure for figure in found.figures}
    assert by["weights on a GPU"].predicted == pytest.approx(14.9888, rel=0.005)
    assert by["activation peak"].predicted == pytest.approx(2.07, rel=0.02)
    assert by["memory for the KV cache"].predicted == pytest.approx(3.81, rel=0.05)


def test_what_vllm_1_leaves_is_its_peak() -> None:
    values = problem("h100-sxm-80gb", 4, "qwen3-235b-a22b", weight_precision=["fp8"])
    found = read_for(start_log(V1, "v1.log"), problem_from_dict(values), None, None)
    by = {figure.what: figure for figure in found.figures}
    assert by["tokens that fit"].printed == 178_880
    assert by["tokens that fit"].predicted == pytest.approx(178_880, rel=0.05)
    assert by["tokens that fit"].with_log == pytest.approx(178_880, rel=0.02)


def test_sglang_holds_weights_and_cache_in_its_share() -> None:
    values = problem("h100-sxm-80gb", 4, "qwen3-235b-a22b", weight_precision=["fp8"])
    log = start_log(SGLANG, "sglang.log")
    assert (log.engine, log.tp, log.share, log.kv_tokens, log.kv_gib) == ("sglang", 4, 0.93, 367_404, 16.46)
    found = read_for(log, problem_from_dict(values), None, None)
    by = {figure.what: figure for figure in found.figures}
    assert by["tokens that fit"].predicted == pytest.approx(367_404, rel=0.05)
    assert found.overhead.cuda_graphs_mib == 1956


V1_2026 = """
(Worker_TP0 pid=1222) INFO 08-07 23:12:01 [gpu_model_runner.py:5255] Model loading took 37.00 GiB memory and 130.1 seconds
(Worker_TP0 pid=1222) INFO 08-07 23:22:57 [gpu_worker.py:726] CUDA graph pool memory: 2.51 GiB (actual), 2.44 GiB (estimated), difference: 0.07 GiB (2.8%).
(Worker_TP0 pid=1222) INFO 08-07 23:22:57 [gpu_worker.py:789] Free memory on device (46.93/47.4 GiB) on startup. Desired GPU memory utilization is (0.95, 45.03 GiB). Actual usage is 40.33 GiB for consumed memory (weights + non-torch), 3.12 GiB for peak activation, and 2.51 GiB for CUDAGraph memory. Current kv cache memory in use is 1.58 GiB.
"""  # noqa: E501
"""DeepSeek-V4-Flash on four cards of 48 GB, https://github.com/vllm-project/vllm/issues/50576, cut; the first line is made up."""


def test_weights_and_the_rest_that_vllm_prints_together() -> None:
    log = start_log(V1_2026, "log")
    assert (log.total_gib, log.share, log.peak_gib, log.graphs_gib) == (47.4, 0.95, 3.12, 2.51)
    assert log.non_torch_gib == pytest.approx(3.33)


TRTLLM = """
[2025-12-20 04:19:59] INFO config.py:54: PyTorch version 2.8.0a0+5228986c39.nv25.6 available.
[TensorRT-LLM] TensorRT-LLM version: 1.1.0rc3
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 0.56 GiB for max tokens in paged KV cache (8224).
[TRT-LLM] [I] Memory used after loading model weights (inside torch) in memory usage profiling: 63.52 GiB
[TRT-LLM] [I] Memory used after loading model weights (outside torch) in memory usage profiling: 49.78 GiB
[TRT-LLM] [I] Memory dynamically allocated during inference (inside torch) in memory usage profiling: 0.85 GiB
[TRT-LLM] [I] Memory used outside torch (e.g., NCCL and CUDA graphs) in memory usage profiling: 49.28 GiB
[TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): 113.65 GiB, available KV cache memory when calculating max tokens: 5.95 GiB, fraction is set 0.8999999761581421, kv size is 73728. device total memory 119.70 GiB, , tmp kv_mem 0.56 GiB
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 5.95 GiB for max tokens in paged KV cache (86720).
[TRT-LLM] [I] max_seq_len=86720, max_num_requests=64, max_num_tokens=8192, max_batch_size=64
"""  # noqa: E501
"""gpt-oss-120b on one GB10, whose memory the rest of the machine holds too; printed in a public repository of DGX Spark recipes."""


def test_parts_that_tensorrt_llm_prints() -> None:
    log = start_log(TRTLLM, "log")
    assert (log.engine, log.version, log.kv_tokens, log.longest, log.batched_tokens) == (
        "trtllm",
        "1.1.0",
        86720,
        86720,
        8192,
    )
    assert (log.weights_gib, log.peak_gib, log.non_torch_gib, log.kv_gib, log.total_gib) == (
        63.52,
        0.85,
        49.28,
        5.95,
        119.70,
    )
    overhead = overhead_from(log, None)
    assert (overhead.activations_mib, overhead.non_torch_mib, overhead.cuda_graphs_mib) == (871, 50463, 0)
    assert (overhead.context_mib, overhead.communication_mib) == (0, 0)
    read = read_for(log, problem_from_dict(problem("gb10", 1, "gpt-oss-120b")), None, None)
    figures = {figure.what: figure for figure in read.figures}
    weights, cache = figures["weights on a GPU"], figures["memory for the KV cache"]
    # Its kernels pad the experts by 2.7 GiB, of which nothing is known here; the rest agrees.
    assert cache.with_log - (weights.printed - weights.with_log) == pytest.approx(5.95, abs=0.15)
    assert "trtllm 1.1.0" in (overhead.measured or "")


def test_the_command_writes_a_problem_that_says_measured_here(tmp_path: Path) -> None:
    log, stated, out = tmp_path / "v0.log", tmp_path / "p.yaml", tmp_path / "measured.yaml"
    log.write_text(V0)
    stated.write_text(yaml.safe_dump(problem("rtx-3090-24gb", 1, "llama3.1-8b", max_num_batched_tokens=20000)))
    result = CliRunner().invoke(app_of(), ["import", "log", str(log), "--problem", str(stated), "--out", str(out)])
    assert result.exit_code == 0, result.output
    written = yaml.safe_load(out.read_text())
    assert written["engine_overhead"]["activations_mib"] == 2120
    assert written["engine_version"] == "0.6.4"
    answer = CliRunner().invoke(app_of(), ["solve", str(out)])
    assert "was measured here: start-up log v0.log" in answer.output


def test_a_file_without_such_lines_is_refused() -> None:
    with pytest.raises(ProblemError, match="no line of SGLang, TensorRT-LLM or vLLM"):
        start_log("nothing of the kind", "x.log")
    with pytest.raises(ProblemError, match="does not say what the engine takes"):
        overhead_from(start_log("Model loading took 14.9 GiB and 3 seconds", "x.log"), None)
