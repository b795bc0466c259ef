"""``costs: analytic`` of a chain: the facts of its model, and of one node of each type by itself.

The tables follow from these in two homes: ``costs/chain_nodes.py`` and ``verify/chain/nodes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optimizer.facts.chain import ChainProblem, NodeType
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict, resolve_model

_TOKEN_BYTES = 4
"""Of a token at the coordinator: its number, 32 bit."""
_SENT_PER_HIDDEN = 4
"""Bytes between stages per hidden dimension: two tensors of 16 bit, as a pipeline sends them (docs/model.md, section 3)."""


def analytic_chain(
    values: Mapping[str, Any], checked: Callable[[Mapping[str, Any]], ChainProblem], folder: Path
) -> ChainProblem:
    """The chain, with the problem of one node of each type beside it.

    Args:
        values: the contents of the file; ``model`` is a catalog name, a path, or a configuration inline.
        checked: the schema's check.
        folder: where relative model paths start.

    Raises:
        ProblemError: something is missing, unknown or impossible.
    """
    stated = values.get("model")
    if not isinstance(stated, str | dict):
        raise ProblemError(
            "model", "with costs: analytic, a catalog name such as llama3-70b or a config.json is needed"
        )
    if not values.get("workload"):
        raise ProblemError("workload", "is needed with costs: analytic: {prompt_tokens: 763, output_tokens: 232}")
    model = resolve_model(stated, folder)
    sizes = {"activation_bytes": _SENT_PER_HIDDEN * model.hidden_size, "token_bytes": _TOKEN_BYTES}
    chain = checked({**values, "model": {"name": model.name, "layers": model.layers, **sizes}})
    for name, kind in chain.cluster.types.items():
        chain.alone[name] = _one_node(chain, name, kind, model)
    return chain


def _one_node(chain: ChainProblem, name: str, kind: NodeType, model: ModelFacts) -> Problem:
    work = chain.workload
    assert work is not None
    formats = {"weight_precision": work.weight_precision, "kv_precision": work.kv_precision}
    try:
        return problem_from_dict(
            {
                "name": f"{chain.name}-{name}",
                "hardware": {"gpu": kind.gpu, "nodes": 1, "gpus_per_node": kind.gpus},
                "model": model.name,
                "workload": {
                    "prompt_tokens": work.prompt_tokens,
                    "output_tokens": work.output_tokens,
                    "requests_per_s": 1,
                },
                "requirements": {"max_sequence_tokens": work.prompt_tokens + work.output_tokens},
                "search": {field: [value] for field, value in formats.items() if value is not None},
            },
            model=model,
        )
    except ProblemError as error:
        field = error.field.replace("search.", "workload.").replace("requirements.max_sequence_tokens", "workload")
        where = f"cluster.types.{name}.gpu" if field.startswith("hardware") else field
        raise ProblemError(where, error.message.removeprefix(f"{error.field}: ")) from None
