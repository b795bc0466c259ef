"""Whether a module is meant by an entry of an ignore list: a name, part of one, a pattern with stars, or a regular expression.

Files name the same module in several ways: under ``model.layers``, under ``language_model``, with fused projections. An
entry matches if it matches one of these names; plain entries match whole components, so ``layers.1`` is not ``layers.10``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cache

PREFIXES = (
    "model.layers.",
    "language_model.model.layers.",
    "model.language_model.layers.",
    "language_model.layers.",
    "thinker.model.layers.",
    "backbone.layers.",
    "transformer.layers.",
    "transformer.encoder.layers.",
    "transformer.h.",
    "layers.",
)
FUSED = (
    (re.compile(r"\b[qkv]_proj$"), "qkv_proj"),
    (re.compile(r"\b(gate|up)_proj$"), "gate_up_proj"),
    (re.compile(r"\bindex_([qk])_proj$"), r"indexer.\1_proj"),
    (re.compile(r"\bin_proj_qkvz$"), "in_proj_qkv"),
    (re.compile(r"\bin_proj_qkvz$"), "in_proj_z"),
    (re.compile(r"\bin_proj_ba$"), "in_proj_a"),
    (re.compile(r"\bshared_experts\b"), "shared_expert"),
    (re.compile(r"\bshared_experts\b"), "shared_mlp"),
    (re.compile(r"^mlp\."), "feed_forward."),
    (re.compile(r"^mlp\."), "block_sparse_moe."),
    (re.compile(r"^self_attn\."), "attn."),
    (re.compile(r"^self_attn\."), "attention."),
    (re.compile(r"^self_attn\."), "self_attention."),
    (re.compile(r"^mlp\.experts\.0\."), "mlp.experts."),
    (re.compile(r"^mlp\."), "ffn."),
    # Mixtral's names of the three matrices of an expert, which MiniMax, InternLM2 and LFM2 use too.
    (re.compile(r"\bgate_proj$"), "w1"),
    (re.compile(r"\bdown_proj$"), "w2"),
    (re.compile(r"\bup_proj$"), "w3"),
)


@cache
def spellings(module: str) -> tuple[str, ...]:
    """A module's path in a layer, and what other files call it: any of the names of each of its parts."""
    found = [module]
    for name in found:
        others = (pattern.sub(other, name) for pattern, other in FUSED if pattern.search(name))
        found += [other for other in dict.fromkeys(others) if other not in found]
    return tuple(found)


class Entries:
    """The entries of one list.

    Args:
        exact: an entry that names a module in full means that module alone, not what lies in it, as compressed-tensors has it
            (``is_match`` of its utils/match.py); the experts of a layer are one module there.
    """

    def __init__(self, entries: Iterable[object], *, exact: bool = False) -> None:
        self._exact = exact
        self._patterns: list[re.Pattern[str]] = []
        stars: list[str] = []
        self._plain: set[str] = set()
        self._inside: list[str] = []
        for entry in map(str, entries):
            if entry.startswith("re:"):
                self._patterns.append(re.compile(entry[3:]))
            elif "*" in entry or "?" in entry:
                stars.append(entry)
            elif "layers." in entry or ".h." in entry:
                # Named in full: the path from the layer's number on is enough.
                self._plain.add(re.split(r"(?:layers|\.h)\.", entry, maxsplit=1)[1].rstrip("."))
            else:
                self._inside.append(f".{entry.strip('.')}.")
        # A published list has one entry for each layer: one expression asks all of them at once.
        if stars:
            each = (translate(one) for star in dict.fromkeys(stars) for one in (star, f"{star}.*"))
            self._patterns.append(re.compile("|".join(f"(?:{one})" for one in each)))
        self._known: dict[tuple[int, str], bool] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns or self._plain or self._inside)

    def has(self, layer: int, module: str) -> bool:
        """Whether an entry means this module of this layer."""
        asked = layer, module
        if asked not in self._known:
            self._known[asked] = self._means(layer, spellings(module))
        return self._known[asked]

    def _means(self, layer: int, names: tuple[str, ...]) -> bool:
        if self._plain and any(self._named(f"{layer}.{name}") for name in names):
            return True
        if any(part in f".{name}." for part in self._inside for name in names):
            return True
        full = (f"{prefix}{layer}.{name}" for prefix in PREFIXES for name in names) if self._patterns else ()
        return any(pattern.match(name) for name in full for pattern in self._patterns)

    def _named(self, path: str) -> bool:
        """The path or one that it lies in is named."""
        parts = path.split(".")
        ends = [end for end in range(len(parts)) if not self._exact or end == len(parts) - 1 or parts[end] == "experts"]
        return any(".".join(parts[: end + 1]) in self._plain for end in ends)
