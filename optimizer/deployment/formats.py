"""Number formats of an answer in the words of each engine. Sources: ``docs/deploy.md``, section 3."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.deployment.options import Options
from optimizer.engines.engine import DTYPES
from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy


def refuse_formats(problems: Sequence[Problem], strategy: Strategy, options: Options) -> None:
    """Formats that the engine does not run on one of the GPUs are never written into a launch file.

    Raises:
        ProblemError: with the GPU, the format and what would be right.
    """
    kernels = kernels_of(options.engine)
    for problem in problems:
        gpu, stored = problem.hardware.gpu, problem.model.quantization
        for field, wanted, supports in (
            ("--weights", strategy.weight_precision, kernels.of_weights(strategy.weight_precision, stored)),
            ("--kv", strategy.kv_precision, kernels.of_caches(strategy.kv_precision)),
        ):
            broken = [support for support in supports if not support.runs_on(gpu.capability)]
            if broken:
                right = " or ".join(broken[-1].instead) or "another engine or GPU"
                raise ProblemError(
                    field,
                    f"{wanted} does not run on {gpu.name} (compute capability {gpu.capability}) with {options.engine_name}; "
                    f"{right} would be right",
                )


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
