"""A decode round through the pipeline: micro-batches over stages, as the cost model has them in the steady state."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.pictures.theme import INK, MUTED, ON_FILL, SMALL, Canvas, both_cuts, fit, series

ROW = 26.0
ROUNDS = 2


def timeline_picture(
    stages: Sequence[float], sends: float, round_ms: float, micro_batches: int, title: str, alt: str
) -> str:
    """Two rounds as HTML.

    Args:
        stages: ms of each stage for one micro-batch.
        sends: ms of one send to the next stage.
        micro_batches: they start one after the other, evenly spread over the round.
    """

    def height(width: float, narrow: bool) -> float:
        return 30 + len(stages) * ROW + 40

    def draw(canvas: Canvas) -> None:
        left = 58.0
        wide = canvas.width - left - 16
        axes = canvas.axes(left, 28, wide, len(stages) * ROW)
        whole = ROUNDS * round_ms
        axes.set_xlim(0, whole)
        axes.set_ylim(len(stages), 0)
        behind = round_ms / micro_batches
        for number in range(micro_batches):
            at = number * behind
            for stage, long in enumerate(stages):
                for turn in range(-1, ROUNDS):
                    _pass(axes, stage, at + turn * round_ms, long, number, whole, wide)
                at += long + sends
        for turn in range(1, ROUNDS + 1):
            axes.axvline(turn * round_ms, color=INK, linewidth=1, linestyle=(0, (4, 2)))
        axes.set_yticks(
            [stage + 0.5 for stage in range(len(stages))], [f"stage {stage}" for stage in range(len(stages))]
        )
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4 if canvas.narrow else 9)
        axes.set_xlabel("ms; colour and number: micro-batch")
        words = f"one round: {milliseconds(round_ms)}"
        axes.text(round_ms, -9 / ROW, words, ha="right", va="center", fontsize=SMALL, color=MUTED)

    return both_cuts("timeline", title, alt, height, draw)


def _pass(axes: Axes, stage: int, start: float, long: float, number: int, whole: float, wide: float) -> None:
    """One micro-batch at one stage, cut at the edges of the picture."""
    first, last = max(0.0, start), min(whole, start + long)
    if last - first <= 0:
        return
    axes.barh(stage + 0.5, last - first, left=first, height=0.72, color=series(number), linewidth=0)
    label = str(number + 1)
    if fit(label, (last - first) / whole * wide - 8):
        axes.text((first + last) / 2, stage + 0.5, label, ha="center", va="center", color=ON_FILL, fontsize=SMALL)
