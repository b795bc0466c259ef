"""vLLM. Sources: ``docs/deploy.md``, sections 2 and 3."""

from __future__ import annotations

from optimizer.engines.engine import DTYPES, ServingEngine


def _kv_word(cache: str, dtype: str) -> str | None:
    """The cache's own type whatever the weights are of."""
    return "fp8" if cache == "fp8" else DTYPES.get(cache)


VLLM = ServingEngine(
    id="vllm",
    title="vLLM",
    package="vllm",
    images={"nvidia": "vllm/vllm-openai:v{version}", "amd": "vllm/vllm-openai-rocm:v{version}"},
    on_loading={"fp8": "fp8_per_tensor"},
    kv_word=_kv_word,
    kv_offered="--kv-cache-dtype has float16, bfloat16 and fp8",
)
