"""Which prefill and decode instances an engine's transfer of cache joins: ``data/transfer.yaml``, each with its source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from optimizer.facts.base import Facts
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FILE = Path(__file__).parent / "data" / "transfer.yaml"


class Transfer(Facts):
    """What one engine's connector accepts."""

    connector: str
    pipeline_stages: tuple[int, int]
    """Most stages of prefill and of decode."""
    unequal_tensor_parallel: tuple[Literal["dense", "mla"], ...]
    """Kinds of attention for which TP may differ between the sides."""
    equal_for_recurrent: bool
    larger_prefill_needs_unreplicated: bool
    """Whether a prefill TP above decode's needs that no KV head is held twice on the prefill side."""
    source: str

    def joins(self, model: ModelFacts, prefill_tp: int, decode_tp: int) -> bool:
        """Whether a prefill instance of one TP may feed a decode instance of another."""
        if prefill_tp == decode_tp:
            return True
        if recurrent(model) and self.equal_for_recurrent:
            return False
        if ("mla" if model.mla else "dense") not in self.unequal_tensor_parallel:
            return False
        larger, smaller = max(prefill_tp, decode_tp), min(prefill_tp, decode_tp)
        if larger % smaller:
            return False
        if model.mla or prefill_tp < decode_tp or not self.larger_prefill_needs_unreplicated:
            return True
        return all(prefill_tp <= heads for heads in model.kv_head_counts)


def recurrent(model: ModelFacts) -> bool:
    """Whether some layer keeps a state in place of a cache."""
    return any(kind.state_values_per_sequence or kind.state_values_replicated for kind in model.kinds)


@cache
def transfer_of(engine: str) -> Transfer:
    """What is known of an engine.

    Raises:
        ProblemError: nothing is.
    """
    known = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=_Loader)
    if engine not in known:
        names = ", ".join(known)
        raise ProblemError(
            "engine", f"which instances {engine} sends cache between is not known; with pools use {names}"
        )
    return Transfer.model_validate(known[engine], strict=False)
