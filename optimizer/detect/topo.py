"""Saved output of ``nvidia-smi topo -m``: the matrix of how GPUs reach each other."""

from __future__ import annotations

import re

from optimizer.detect.machine import PATHS, Pair
from optimizer.facts.errors import ProblemError

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
GPU = re.compile(r"GPU\d{1,3}")
LINK = re.compile(r"X|NV[1-9]\d?|" + "|".join(PATHS))


def parse_topo(text: str, source: str, gpus: int, field: str = "--topo") -> dict[Pair, str]:
    """``NV18``, ``SYS`` and the like for every ordered pair of GPUs.

    Args:
        gpus: how many there must be, as the same host's other output describes.

    Raises:
        ProblemError: this is no such matrix, it contradicts itself, or it has another number of GPUs.
    """
    lines = [COLOURS.sub("", line).split() for line in text.splitlines()]
    header = next((line for line in lines if line and GPU.fullmatch(line[0]) and not _is_row(line)), None)
    if header is None:
        raise ProblemError(field, f"{source} is not the output of nvidia-smi topo -m: it has no row of GPU names")
    columns = {name: at for at, name in enumerate(header) if GPU.fullmatch(name)}
    if len(columns) != gpus:
        raise ProblemError(
            field,
            f"{source} has {len(columns)} GPUs, the nvidia-smi -q -x output beside it {gpus}; save both on the same host",
        )
    rows = {line[0]: line[1:] for line in lines if line and line[0] in columns and _is_row(line)}
    links: dict[Pair, str] = {}
    for here, name in enumerate(columns):
        cells = rows.get(name)
        if cells is None:
            raise ProblemError(field, f"{source} has no row for {name}")
        for there, other in enumerate(columns):
            kind = cells[columns[other]] if columns[other] < len(cells) else "nothing"
            if not LINK.fullmatch(kind) or (kind == "X") != (here == there):
                raise ProblemError(field, f"{source}, row {name}, column {other}: {kind[:20]!r} is no link")
            if here != there:
                links[here, there] = kind
    for (here, there), kind in links.items():
        if links[there, here] != kind:
            raise ProblemError(
                field,
                f"{source} contradicts itself: GPU{here} to GPU{there} is {kind}, back it is {links[there, here]}",
            )
    return links


def _is_row(line: list[str]) -> bool:
    """Rows hold a link after the name; the header holds names only."""
    return len(line) > 1 and LINK.fullmatch(line[1]) is not None
