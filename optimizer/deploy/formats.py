"""Number formats of an answer in the words of each engine. Sources: ``docs/deploy.md``, section 3."""

from __future__ import annotations

from optimizer.deploy.options import Options
from optimizer.engines.engine import DTYPES
from optimizer.engines.registry import engine_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.results.answer import Strategy


def format_flags(model: ModelFacts, strategy: Strategy, options: Options) -> list[str]:
    """``--dtype``, ``--kv-cache-dtype`` and, where weights are converted on loading, ``--quantization``.

    Raises:
        ProblemError: the checkpoint is not stored in the answer's format and the engine cannot convert it, or the engine
            has no such KV format.
    """
    dtype = strategy.weight_precision if strategy.weight_precision in DTYPES else model.native_dtype
    flags = ["--dtype", DTYPES[dtype], "--kv-cache-dtype", _kv(strategy.kv_precision, dtype, options)]
    return flags + _quantization(strategy.weight_precision, options)


def _kv(wanted: str, dtype: str, options: Options) -> str:
    engine = engine_of(options.engine)
    word = engine.kv_word(wanted, dtype)
    if word is None:
        raise ProblemError(
            "--kv",
            f"{wanted} beside {dtype} weights is not offered by {options.engine_name} ({engine.kv_offered}); {dtype} would be right",
        )
    return word


def _quantization(wanted: str, options: Options) -> list[str]:
    stored = options.checkpoint_format
    if wanted == stored or (wanted in DTYPES and stored in DTYPES):
        return []
    on_loading = engine_of(options.engine).on_loading.get(wanted)
    if stored in DTYPES and on_loading:
        return ["--quantization", on_loading]
    raise ProblemError(
        "--checkpoint-format",
        f"{options.model_id} is stored in {stored} and {options.engine_name} cannot make {wanted} of it while loading; name a "
        f"checkpoint that is stored in {wanted}: --model-id NAME --checkpoint-format {wanted}",
    )
