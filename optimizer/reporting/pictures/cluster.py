"""The cluster map: every node with its GPUs, on each GPU its instance, stage and TP rank. Drawn from a placement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from optimizer.reporting.pictures.alike import alike, names, pattern_of
from optimizer.reporting.pictures.theme import GRID, INK, MUTED, SMALL, Canvas, both_cuts, series
from optimizer.results.placement import GpuPlace, Placement

MOST_NODES = 16
GAP, HEAD, CELL, PAD = 8.0, 22.0, 44.0, 8.0


@dataclass(frozen=True, slots=True)
class Seat:
    """What one GPU does: the instance, counted from 0, and words for it."""

    instance: int
    first: str
    second: str


def seats(placement: Placement) -> dict[GpuPlace, Seat]:
    """What every GPU in use does."""
    found = {}
    for number, instance in enumerate(placement.instances):
        s = instance.strategy
        for replica in range(instance.replicas):
            name = f"{instance.name.replace('replica-', 'replica ')}"
            if instance.replicas > 1:
                name += f".{replica}"
            for stage in range(s.pipeline_parallel):
                for rank in range(s.tensor_parallel):
                    words = [f"stage {stage}"] if s.pipeline_parallel > 1 else []
                    words += [f"TP {rank}"] if s.tensor_parallel > 1 else []
                    found[instance.gpu(replica, stage, rank)] = Seat(number, name, " · ".join(words))
    return found


def _without_number(words: str) -> str:
    """What a GPU does, whichever instance it belongs to."""
    return re.sub(r"\d+", "", words)


def cluster_picture(placement: Placement, gpus_of_node: Mapping[str, int], title: str, alt: str) -> str:
    """The map as HTML.

    Args:
        gpus_of_node: every node there is, those not in use too, with its number of GPUs.
    """
    used = list(dict.fromkeys([*placement.nodes, *gpus_of_node]))
    taken = seats(placement)
    doing = {place: (seat.instance, (_without_number(seat.first), seat.second)) for place, seat in taken.items()}
    groups = alike(used, lambda node: pattern_of(node, gpus_of_node[node], doing))
    same = {group[0]: group for group in groups[:MOST_NODES]}
    shown, more = list(same), sum(map(len, groups[MOST_NODES:]))

    def layout(width: float, narrow: bool) -> tuple[int, int]:
        """Nodes side by side, and GPUs of a node side by side."""
        most = max(gpus_of_node.values())
        if narrow:
            return 1, min(4, most)
        return (2, min(4, most)) if len(shown) > 1 else (1, min(8, most))

    def box(node: str, across: int) -> float:
        return HEAD + -(-gpus_of_node[node] // across) * (CELL + 4) + PAD

    def rows(width: float, narrow: bool) -> list[list[str]]:
        beside = layout(width, narrow)[0]
        return [shown[start : start + beside] for start in range(0, len(shown), beside)]

    def height(width: float, narrow: bool) -> float:
        across = layout(width, narrow)[1]
        tall = sum(max(box(node, across) for node in row) + GAP for row in rows(width, narrow))
        return tall + (18 if more > 0 else 2)

    def draw(canvas: Canvas) -> None:
        axes = canvas.blank()
        beside, across = layout(canvas.width, canvas.narrow)
        each = (canvas.width - 2 - (beside - 1) * GAP) / beside
        top = 1.0
        for row in rows(canvas.width, canvas.narrow):
            for position, node in enumerate(row):
                left = 1 + position * (each + GAP)
                tall = box(node, across)
                axes.add_patch(FancyBboxPatch((left + 4, top + 4), each - 8, tall - 8, boxstyle="round,pad=4,rounding_size=6",
                                              facecolor="none", edgecolor=MUTED, linewidth=1.2))  # fmt: skip
                axes.text(left + PAD, top + 14, names(same[node]), fontsize=SMALL, fontweight="bold", va="center")
                axes.text(
                    left + each - PAD,
                    top + 14,
                    "fails together" if len(same[node]) == 1 else "each fails together",
                    fontsize=SMALL,
                    color=MUTED,
                    ha="right",
                    va="center",
                )
                for index in range(gpus_of_node[node]):
                    _gpu(axes, left, top, each, across, index, taken.get(GpuPlace(node, index)))
            top += max(box(node, across) for node in row) + GAP
        if more > 0:
            axes.text(2, top + 6, f"and {more} more nodes", fontsize=SMALL, color=MUTED, va="center")

    return both_cuts("cluster", title, alt, height, draw)


def _gpu(axes: Axes, left: float, top: float, each: float, across: int, index: int, seat: Seat | None) -> None:
    wide = (each - 2 * PAD - (across - 1) * 4) / across
    x = left + PAD + index % across * (wide + 4)
    y = top + HEAD + index // across * (CELL + 4)
    if seat is None:
        axes.add_patch(
            Rectangle((x, y), wide, CELL, facecolor="none", edgecolor=GRID, linewidth=0.8, linestyle=(0, (3, 2)))
        )
        axes.text(x + wide / 2, y + CELL / 2, "idle", fontsize=SMALL, color=MUTED, ha="center", va="center")
        return
    colour = series(seat.instance)
    axes.add_patch(Rectangle((x, y), wide, CELL, facecolor=colour, alpha=0.16, linewidth=0))
    axes.add_patch(Rectangle((x, y), wide, 3, facecolor=colour, linewidth=0))
    words = [seat.first, *([seat.second] if seat.second else [])]
    for line, text in enumerate(words):
        offset = CELL / 2 + 2 + (line - (len(words) - 1) / 2) * 14
        axes.text(x + wide / 2, y + offset, text, fontsize=SMALL, ha="center", va="center", color=INK)
