"""compressed-tensors (llm-compressor): groups of modules, each with a type, a width and a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.quantization.names import Entries
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.stated import StatedQuantization, kv_format
from optimizer.checkpoints.quantization.storage import Activation, Storage, eight, grouped, mxfp4, nvfp4

ANY_LINEAR = ("Linear", "FusedMoE", "RoutedExperts")


def compressed_tensors(stated: StatedQuantization) -> QuantizationPlan:
    """The plan of ``config_groups``; the first group that targets every linear layer is the default.

    Raises:
        ProblemError: no group states weights, or a width or type is not known.
    """
    sparse = stated.values.get("sparsity_config")
    if isinstance(sparse, Mapping) and sparse.get("format") not in (None, "dense"):
        raise stated.error("sparsity_config.format", f"{sparse['format']!r}: sparse weights are not modelled")
    written = str(stated.values.get("format") or "").lower()
    if "24" in written:
        raise stated.error("format", f"{written!r}: sparse weights are not modelled")
    groups = stated.values.get("config_groups")
    default: Storage | None = None
    experts: Storage | None = None
    overrides: list[tuple[Entries, Storage | None]] = []
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        if not isinstance(group, Mapping) or not isinstance(group.get("weights"), Mapping):
            continue
        listed = group.get("targets") or ["Linear"]
        if not isinstance(listed, list | tuple):
            raise stated.inside(f"config_groups.{name}", group).error("targets", f"{listed!r} is no list of modules")
        targets = [str(target) for target in listed]
        storage = _storage(stated, name, group)
        if any(target == "Linear" for target in targets):
            default = default or storage
        elif any(target in ANY_LINEAR for target in targets):
            experts = storage
        else:
            overrides.append((stated.entries(targets), storage))
    if default is None and experts is None and not overrides:
        raise stated.error("config_groups", "names no group with weights")
    ignored = stated.ignored()
    notes: tuple[str, ...] = ()
    if not stated.lists_ignored() and stated.experts_only and stated.has_experts and default is not None:
        default, experts = None, default
        notes = (
            "the quantisation lists no exceptions; as in this family's published checkpoints, routed experts alone are"
            " read as converted",
        )
    # Named groups stand behind the exceptions, as in vLLM: an ignored module is never a target.
    behind = tuple((entries, None) for entries in ((stated.entries(ignored, exact=True),) if ignored else ()))
    return QuantizationPlan.of(
        stated.method,
        default,
        experts=experts,
        ignored=ignored,
        overrides=(*behind, *overrides),
        head=None,
        kv_cache_format=kv_format(stated.values.get("kv_cache_scheme")),
        notes=notes,
        exact=True,
    )


def _storage(stated: StatedQuantization, name: str, group: Mapping[str, Any]) -> Storage:
    weights = group["weights"]
    own = stated.inside(f"config_groups.{name}.weights", weights)
    written = str(group.get("format") or stated.values.get("format") or "").lower()
    bits, kind = weights.get("num_bits"), str(weights.get("type", "")).lower()
    strategy = str(weights.get("strategy") or "tensor").lower()
    activation = _activation(group.get("input_activations"))
    if kind == "float" and bits == 4:
        return mxfp4(activation) if "mxfp4" in written or own.group(16) == 32 else nvfp4(activation)
    if kind == "float" and bits == 8:
        if strategy == "group":
            return Storage("fp8", eight("fp8").bits, own.group(32) or 32, 8, activation=activation)
        return eight(
            "fp8", block=_block(own, strategy), output_bytes=2 * (strategy == "channel"), activation=activation
        )
    if kind == "int" and isinstance(bits, int) and bits in {2, 3, 4, 5, 6, 8}:
        zero = 0 if weights.get("symmetric", True) else int(bits)
        if bits == 8 and strategy in {"tensor", "channel"}:
            return eight("int8", output_bytes=2 * (strategy == "channel"), activation=activation)
        return grouped(int(bits), own.group() if strategy == "group" else 0, 16 + zero, activation=activation)
    raise own.error("num_bits", f"{bits!r} of type {kind!r} is not known; int 2 to 8 and float 4 or 8 are")


def _block(own: StatedQuantization, strategy: str) -> tuple[int, int] | None:
    if strategy != "block":
        return None
    value = own.values.get("block_structure")
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int) and v > 0 for v in value)):
        raise own.error("block_structure", f"{value!r} is not two whole numbers")
    return int(value[0]), int(value[1])


def _activation(inputs: object) -> Activation:
    if not isinstance(inputs, Mapping):
        return None
    kind, bits = str(inputs.get("type", "")).lower(), inputs.get("num_bits")
    if bits == 8:
        return "fp8" if kind == "float" else "int8"
    return "nvfp4" if bits == 4 and kind == "float" else None
