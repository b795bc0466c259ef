"""The model: architecture, parameters by component, and what they weigh."""

from __future__ import annotations

from optimizer.catalog.constants import constants
from optimizer.costs.parameters import KV_BYTES
from optimizer.facts.problem import Problem
from optimizer.reporting.document import Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.ledger import Ledger, byte, number


def model_section(problem: Problem, ledger: Ledger, weights: str | None, kv: str | None) -> Section:
    """Facts of the model; ``weights`` and ``kv`` are the chosen formats, None without a strategy."""
    model = problem.model
    components = {name: count for name, count in model.components().items() if count}
    parameters = ledger.derive(
        "parameters", "Parameters of the model", " + ".join(components), " + ".join(number(c) for c in components.values()),
        model.parameters, "parameters", text=f"{model.parameters:,}", note="counted from the model's config",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        ("Model", model.name),
        ("Hugging Face id", model.huggingface_id or "not stated"),
        ("Architecture", model.architecture),
        ("Parameters", parameters),
    ]
    if model.published_parameters:
        published = model.published_parameters
        rows.append(("Parameters as published", Figure(f"{published:,}", published, "parameters")))
    if model.active_parameters != model.parameters:
        active = model.active_parameters
        rows.append(("Parameters one token passes through", Figure(f"{active:,}", active, "parameters")))
    rows += [
        ("Layers", _count(model.layers)),
        ("Hidden size", _count(model.hidden_size)),
        ("Attention heads / KV heads", f"{model.attention_heads} / {model.kv_heads}" + (" (MLA)" if model.mla else "")),
        ("Feed-forward width", ", ".join(f"{width:,}" for width in model.ffn_widths) or "none outside the experts"),
    ]
    if model.experts:
        per_token = max(kind.experts_per_token for kind in model.kinds)
        rows.append(("Routed experts / used per token", f"{model.experts} / {per_token}"))
    rows += [
        ("Vocabulary", Figure(f"{model.vocabulary:,} tokens", model.vocabulary, "tokens")),
        ("Longest context", Figure(f"{model.max_context_tokens:,} tokens", model.max_context_tokens, "tokens")),
        (
            "Longest sequence to serve",
            _longest(problem),
        ),
        ("Format of the checkpoint", model.native_weight_format),
    ]
    rows.append(
        (
            "Weights, once, in the checkpoint's format",
            _weights(problem, ledger, model.native_weight_format, "checkpoint"),
        )
    )
    if weights is not None and weights != model.native_weight_format:
        rows.append((f"Weights, once, in {weights}", _weights(problem, ledger, weights, "chosen")))
    rows.append(
        (
            f"KV cache of one token, all layers, in {kv or model.native_kv_format}",
            _cache(problem, ledger, kv or model.native_kv_format),
        )
    )
    parts = tuple((name, Figure(f"{count:,}", count, "parameters"),
                   _share(ledger, name, count, model.parameters))
                  for name, count in components.items())  # fmt: skip
    facts = Table("model", (Column("what", "Fact"), Column("value", "Value", right=True)), tuple(rows))
    columns = (
        Column("component", "Component"),
        Column("parameters", "Parameters", right=True),
        Column("share", "Share", right=True),
    )
    said = Text(
        ("Parameters are counted from the architecture, component by component; nothing is rounded to a trade name.",)
    )
    return Section("model", "Model", (said, facts, Table("components", columns, parts, "Parameters by component")))


def _share(ledger: Ledger, name: str, count: int, whole: int) -> Figure:
    return ledger.derive(
        f"share-{name}", f"Share of the parameters: {name}", "parameters / all parameters", f"{number(count)} / {number(whole)}",
        count / whole * 100, "%", text=f"{count / whole:.1%}", inputs=("parameters",),
    )  # fmt: skip


def _longest(problem: Problem) -> Figure:
    """The longest sequence to serve, as far as the problem states it."""
    tokens = problem.max_sequence_tokens
    stated = problem.requirements.max_sequence_tokens is not None or not problem.paged
    return Figure(f"{tokens:,} tokens" if stated else f"at least {tokens:,} tokens", tokens, "tokens")


def _count(value: int) -> Figure:
    return Figure(f"{value:,}", value, "")


def _weights(problem: Problem, ledger: Ledger, name: str, id: str) -> Figure:
    """One copy of all weights: matrices and experts in their format, embedding, head, norms and routers in 16 bit."""
    model, entry = problem.model, constants().formats[name]
    if name == model.native_weight_format:
        kinds = [model.kinds[k] for k in model.kind_of_layer]
        layers = sum(k.weight_bytes for k in kinds)
        rest = model.weight_bytes - layers
        return ledger.derive(
            f"weights-{id}", f"Weights of the model, once, in {name}",
            "bytes of all layers as the checkpoint stores them + tables, norms and positions",
            f"{byte(layers)} + {byte(rest)}", model.weight_bytes, "B",
            note="scales, zero points and modules left in 16 bit are in it", inputs=("parameters",),
        )  # fmt: skip
    linear_bytes = entry.linear
    if model.experts and name == "mxfp4":
        linear_bytes = 2.0
    elif model.experts and name == "nvfp4":
        linear_bytes = constants().formats["fp8"].linear
    kinds = [model.kinds[k] for k in model.kind_of_layer]
    linear = sum(k.sharded_parameters + k.key_value_parameters + k.replicated_parameters for k in kinds)
    experts = sum(k.experts * k.expert_parameters for k in kinds)
    small = sum(k.unquantized_parameters for k in kinds) + model.output_parameters + model.input_parameters
    tables = model.embedding_parameters + model.head_parameters + model.table_parameters
    parts = [f"{number(linear)} × {byte(linear_bytes)}"]
    if experts:
        parts.append(f"{number(experts)} × {byte(entry.expert)}")
    parts.append(f"({number(tables)} + {number(small)}) × 2 B")
    value = linear * linear_bytes + experts * entry.expert + (tables + small) * 2
    return ledger.derive(
        f"weights-{id}", f"Weights of the model, once, in {name}",
        "matrix parameters × bytes each" + (" + expert parameters × bytes each" if experts else "")
        + " + (embedding, head, norms, routers) × 2 bytes",
        " + ".join(parts), value, "B", note="formats in optimizer/catalog/data/constants.yaml", inputs=("parameters",),
    )  # fmt: skip


def _cache(problem: Problem, ledger: Ledger, kv: str) -> Figure:
    model = problem.model
    values = sum(model.kinds[kind].kv_values(model.kv_heads) for kind in model.kind_of_layer)
    index = sum(model.kinds[kind].index_bytes_per_token for kind in model.kind_of_layer)
    return ledger.derive(
        "kv-token", "KV cache of one token over all layers, once", "Σ layers of cached values × bytes per value"
        + (" + index keys" if index else ""),
        f"{number(values)} × {KV_BYTES[kv]} B" + (f" + {number(index)} B" if index else ""),
        values * KV_BYTES[kv] + index, "B",
        note="2 × KV heads × head size per layer for grouped-query attention; latent values for MLA",
    )  # fmt: skip
