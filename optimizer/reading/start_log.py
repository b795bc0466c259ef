"""What vLLM, SGLang or TensorRT-LLM printed when it started: layout, and memory by part. Lines of one GPU stand for all.

Formats: ``vllm/worker/worker.py`` (0.6 to 0.8), ``vllm/v1/worker/gpu_worker.py`` and ``vllm/v1/core/kv_cache_utils.py`` (from 0.8),
``python/sglang/srt/model_executor/model_runner.py``, ``tensorrt_llm/_torch/pyexecutor/_util.py`` (profiling of memory) and
``cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp``. What SGLang calls GB is GiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optimizer.facts.errors import ProblemError

LARGEST_BYTES = 64 * 1024 * 1024
_NUMBER = r"(-?\d+(?:[.,]\d+)*)"
_GIB = rf"{_NUMBER}\s*G(?:i)?B"
_PARTS: dict[str, tuple[str, ...]] = {
    "weights_gib": (
        rf"[Mm]odel loading took {_NUMBER} ?G",
        rf"Loading model weights took {_GIB}",
        rf"model weights take\s+{_GIB}",
        rf"Load weight end\..*?mem usage={_GIB}",
        rf"after loading model weights \(inside torch\) in memory usage profiling: {_GIB}",
    ),
    "peak_gib": (
        rf"PyTorch activation peak memory (?:takes\s+)?\s*{_GIB}",
        rf"{_NUMBER} GiB for peak activation",
        rf"during inference \(inside torch\) in memory usage profiling: {_GIB}",
    ),
    "non_torch_gib": (
        rf"non_torch_memory (?:takes\s+)?\s*{_GIB}",
        rf"{_NUMBER} GiB for non-torch memory",
        rf"Memory used outside torch \(e\.g\., NCCL and CUDA graphs\) in memory usage profiling: {_GIB}",
    ),
    "consumed_gib": (rf"{_NUMBER} GiB for consumed memory \(weights \+ non-torch\)",),
    "graphs_gib": (
        rf"CUDA graph pool memory: {_GIB} \(actual\)",
        rf"Estimated CUDA graph memory: {_GIB}",
        rf"{_NUMBER} GiB for CUDAGraph memory",
        rf"Graph capturing finished in .*? took {_GIB}",
        rf"Capture cuda graph end\..*?mem usage={_GIB}",
    ),
    "kv_gib": (
        rf"Available KV cache memory: {_GIB}",
        rf"reserved for KV Cache is {_GIB}",
        rf"available_kv_cache_memory\s+{_GIB}",
        rf"Allocated {_GIB} for max tokens in paged KV cache",
        rf"available KV cache memory when calculating max tokens: {_GIB}",
    ),
    "total_gib": (
        rf"total_gpu_memory(?: \(|\s+){_GIB}",
        rf"Free memory on device .*?/{_GIB}",
        rf"device total memory {_GIB}",
    ),
    "share": (
        rf"gpu_memory_utilization(?: \(|\s+|'?: ?|=){_NUMBER}",
        rf"mem_fraction_static(?:=|'?: ?){_NUMBER}",
        rf"current --gpu-memory-utilization={_NUMBER}",
        rf"--gpu-memory-utilization[ =]{_NUMBER}",
        rf"--mem-fraction-static[ =]{_NUMBER}",
        rf"fraction is set {_NUMBER}",
        rf"Desired GPU memory utilization is \({_NUMBER}, ",
    ),
    "needed_gib": (rf"\({_GIB} KV cache is needed",),
}
_COUNTS: dict[str, tuple[str, ...]] = {
    "kv_tokens": (
        rf"GPU KV cache size: {_NUMBER} tokens",
        rf"KV Cache is allocated\. .*?#tokens: {_NUMBER}",
        rf"max_total_num_tokens={_NUMBER}",
        rf"for max tokens in paged KV cache \({_NUMBER}\)",
    ),
    "tp": (
        r"tensor_parallel_size(?:=|'?: ?)(\d+)",
        r"\btp_size=(\d+)",
        r"--tensor-parallel-size[ =](\d+)",
        r"--tp(?:-size)?[ =](\d+)",
    ),
    "pp": (r"pipeline_parallel_size(?:=|'?: ?)(\d+)", r"\bpp_size=(\d+)", r"--pipeline-parallel-size[ =](\d+)"),
    "dp": (r"data_parallel_size(?:=|'?: ?)(\d+)", r"\bdp_size=(\d+)", r"--data-parallel-size[ =](\d+)"),
    "longest": (
        r"max_seq_len=(\d+)",
        r"max_model_len(?:=|'?: ?)(\d+)",
        r"context_len=(\d+)",
        r"--max-model-len[ =](\d+)",
    ),
    "batched_tokens": (
        r"max_num_batched_tokens(?:=|'?: ?)(\d+)",
        r"chunked_prefill_size=(\d+)",
        r"--max-num-batched-tokens[ =](\d+)",
        r"max_num_tokens=(\d+)",
    ),
    "sequences": (
        r"max_num_seqs(?:=|'?: ?)(\d+)",
        r"max_running_requests=(\d+)",
        r"--max-num-seqs[ =](\d+)",
        r"max_num_requests=(\d+)",
    ),
}
_VERSION = re.compile(
    r"(?<!PyTorch )(?<!Polars )(?<!transformers )(?<!Python )(?<!CUDA )(?:version|LLM engine \(v?|vllm[-=: ]+v?|sglang[-=: ]+v?)"
    r"\s*(\d+\.\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_TRTLLM_VERSION = re.compile(r"TensorRT[- ]LLM version: (\d+\.\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class StartLog:
    """Figures of one start; None: not printed."""

    name: str
    engine: Literal["vllm", "sglang", "trtllm"]
    version: str | None
    weights_gib: float | None = None
    peak_gib: float | None = None
    non_torch_gib: float | None = None
    consumed_gib: float | None = None
    """Weights and what is outside the allocator, as newer versions of vLLM print them together."""
    graphs_gib: float | None = None
    kv_gib: float | None = None
    total_gib: float | None = None
    share: float | None = None
    needed_gib: float | None = None
    kv_tokens: int | None = None
    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    longest: int | None = None
    batched_tokens: int | None = None
    sequences: int | None = None

    @property
    def printed(self) -> dict[str, float | int]:
        """What was printed, by name."""
        names = (*_PARTS, *_COUNTS)
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def read_start_log(path: Path) -> StartLog:
    """The figures of a log file.

    Raises:
        ProblemError: it cannot be read, or no engine printed anything of memory in it.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ProblemError(
                str(path), f"is larger than {LARGEST_BYTES >> 20} MiB; cut it to the start of the engine"
            )
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ProblemError(str(path), f"cannot be read ({error.strerror})") from None
    return start_log(text, path.name)


def start_log(text: str, name: str) -> StartLog:
    """The figures of a log's text.

    Raises:
        ProblemError: no engine printed anything of memory in it.
    """
    # A value stands in many lines (one a GPU, one a start): the last counts, of parts the largest of the last start's GPUs would
    # differ by what ranks round differently, so one line is enough.
    values: dict[str, float | int] = {}
    for kind, patterns in (*_PARTS.items(), *_COUNTS.items()):
        for pattern in patterns:
            found = re.findall(pattern, text)
            if found:
                number = found[-1].replace(",", "")
                values[kind] = int(number) if kind in _COUNTS else float(number)
                break
    sizes = re.findall(rf"K size: {_GIB}, V size: {_GIB}", text)
    if sizes and "kv_gib" not in values:
        values["kv_gib"] = sum(float(size.replace(",", "")) for size in sizes[-1])
    if not {"weights_gib", "kv_gib", "kv_tokens"} & set(values):
        raise ProblemError(
            name, "holds no line of vLLM, SGLang or TensorRT-LLM on weights, KV cache or tokens that fit"
        )
    if "consumed_gib" in values and "weights_gib" in values:
        values.setdefault("non_torch_gib", max(0.0, values["consumed_gib"] - values["weights_gib"]))
    # SGLang's lines of its own, not its name: vLLM's logs speak of it too.
    sglang = "mem_fraction_static" in text or "KV Cache is allocated" in text or "Load weight end." in text
    engine: Literal["vllm", "sglang", "trtllm"] = (
        "sglang" if sglang else "trtllm" if "[TRT-LLM]" in text or "[TensorRT-LLM]" in text else "vllm"
    )
    version = (_TRTLLM_VERSION if engine == "trtllm" else _VERSION).search(text)
    return StartLog(name, engine, version.group(1) if version else None, **values)  # type: ignore[arg-type]
