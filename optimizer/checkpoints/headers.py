"""What the tensor files beside a config hold: safetensors headers or the index, held against what the config counts.

Source: the safetensors format (8 bytes of length, then JSON with dtype, shape and offsets of every tensor).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts

INDEX = "model.safetensors.index.json"
LARGEST_HEADER_BYTES = 100 * 1024 * 1024
TOLERANCE = 0.01
TOWER = re.compile(
    r"(^|\.)(visual|vision|vision_tower|vision_model|vision_embedder|audio_tower|audio_model|embed_vision|embed_audio|"
    r"multi_modal_projector|mm_projector|multimodal_projector|image_newline|talker|token2wav|code2wav|vit|"
    r"vision_language_adapter|patch_merger|aligner|connector|resampler|vpm|mlp1)(\.|$)"
)
MTP = re.compile(r"(^|\.)(mtp|mtp_layers|eh_proj|enorm|hnorm|shared_head)(\.|$)")
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes of the tensors of a folder."""

    language: int
    towers: int
    mtp: int
    source: str
    exact: bool
    """Read tensor by tensor; False: only the total that the index states, kept under ``language``."""


def stored(folder: Path, layers: int) -> Stored | None:
    """What the safetensors files of a folder hold; None where there are none.

    Raises:
        ProblemError: a header or the index cannot be read.
    """
    # A pipe of such a name would be waited for.
    files = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    index = folder / INDEX
    listed = _index(index) if index.is_file() else {}
    shards = {str(name) for name in (listed.get("weight_map") or {}).values()}
    if files and (not shards or shards <= {file.name for file in files}):
        named = [file for file in files if not shards or file.name in shards]
        return _from_headers(named, layers)
    total = (listed.get("metadata") or {}).get("total_size")
    if isinstance(total, int | float) and total > 0:
        return Stored(int(total), 0, 0, INDEX, exact=False)
    return None


def check(model: ModelFacts, folder: Path, field: str) -> str | None:
    """Hold the count against the folder's tensors; returns what was compared, None where the folder holds none.

    Raises:
        ProblemError: they differ by more than 1 %.
    """
    found = stored(folder, model.layers)
    if found is None:
        return None
    counted = model.weight_bytes
    if not found.exact:
        # The index gives one total; whatever the folder may hold beside the language model widens what it may be.
        counted += model.mtp_bytes + model.vision_bytes
        uncounted = any("not counted" in note for note in model.notes)
        if found.language >= counted and uncounted:
            return (
                f"{found.source}: {found.language:,} bytes in all, {counted:,} of them counted; towers are not counted"
            )
    optional = 0 if found.exact else model.mtp_bytes
    # A tied head may be stored a second time.
    twice = model.embedding_bytes if model.tied_embeddings else 0
    choices = {counted - drop + more for drop in (0, optional) for more in (0, twice)}
    nearest = min(choices, key=lambda size: abs(size - found.language))
    if abs(found.language - nearest) > TOLERANCE * found.language:
        raise ProblemError(
            field,
            f"config.json counts to {nearest:,} bytes of weights, the tensors in {found.source} take {found.language:,}"
            f" ({nearest / found.language - 1:+.1%}): the config or the way it is read does not fit the checkpoint",
        )
    return f"{found.source}: {found.language:,} bytes, counted {nearest:,} ({nearest / found.language - 1:+.2%})"


def _index(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_HEADER_BYTES:
            raise ValueError("it is too large")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProblemError(path.name, f"cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise ProblemError(path.name, "holds no mapping")
    return values


def _from_headers(files: list[Path], layers: int) -> Stored:
    sums = {"language": 0, "towers": 0, "mtp": 0}
    for file in files:
        for name, size in _tensors(file):
            found = LAYER.search(name)
            beyond = found is not None and int(found[1]) >= layers
            place = "towers" if TOWER.search(name) else "mtp" if beyond or MTP.search(name) else "language"
            sums[place] += size
    source = files[0].name if len(files) == 1 else f"{len(files)} safetensors files"
    return Stored(sums["language"], sums["towers"], sums["mtp"], source, exact=True)


def _tensors(file: Path) -> Iterator[tuple[str, int]]:
    """(name, bytes) of every tensor of a file.

    Raises:
        ProblemError: its header is not one.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= LARGEST_HEADER_BYTES:
                raise ValueError("no header of a sensible length")
            header = json.loads(stream.read(length))
        if not isinstance(header, dict):
            raise ValueError("the header is no mapping")
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield name, int(end) - int(begin)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProblemError(file.name, f"is no safetensors file ({error})") from None
