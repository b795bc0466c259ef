"""What a serving engine takes where a person states nothing: the sequences that one replica runs at once, and its token budgets.

vLLM (``EngineArgs.get_batch_defaults`` in ``vllm/engine/arg_utils.py``, 0.11 and later): 1,024 for its API server on GPUs with
at least 70 GiB that are no A100, else 256. SGLang (``init_memory_pool`` in ``sglang/srt/model_executor/model_runner.py``): the
tokens that its cache holds divided by the context length, times 512, but at least 2,048 and at most 4,096; as it is at most four
sequences of full length that raise it above 2,048, the least is what is planned with.

Prefill tokens of a step: vLLM 0.32.0 (the same function) takes 2,048 on GPUs below 70 GiB and on A100, 8,192 above and 16,384 from
160 GiB. SGLang (``--chunked-prefill-size``) takes 2,048 to 16,384 by the memory of the GPU.
"""

from __future__ import annotations

from optimizer.facts.hardware import GpuFacts

VLLM_LARGE_GPU_MIB = 70 * 1024
VLLM_LARGE, VLLM_SMALL = 1024, 256
SGLANG = 2048
VLLM_BUDGETS = (2048, 8192, 16384)
SGLANG_BUDGETS = (2048, 4096, 8192, 16384)


def default_max_batch(engine: str, gpu: GpuFacts) -> int:
    """Most sequences that one replica runs at once when ``requirements.max_batch`` is left out."""
    if engine == "sglang":
        return SGLANG
    large = gpu.memory_mib >= VLLM_LARGE_GPU_MIB and "a100" not in gpu.name.lower()
    return VLLM_LARGE if large else VLLM_SMALL


def token_budgets(engine: str) -> tuple[int, ...]:
    """Budgets that an engine takes by itself on one GPU or another, ascending."""
    return SGLANG_BUDGETS if engine == "sglang" else VLLM_BUDGETS
