"""The curves of a sweep as a picture, PNG or SVG by the file's name (extra ``[plot]``)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.facts.errors import ProblemError

if TYPE_CHECKING:
    from optimizer.sweeps.points import Point

MOST_CURVES = 12
KINDS = (".png", ".svg")


def plot(points: Sequence[Point], title: str, path: str) -> bytes:
    """The picture: time of a request, first token, throughput and, where known, price against the number of GPUs.

    Raises:
        ProblemError: matplotlib is not installed, the name ends in neither .png nor .svg, or there is nothing to draw.
    """
    kind = Path(path).suffix.lower()
    if kind not in KINDS:
        raise ProblemError("--plot", f"{path} ends in neither .png nor .svg")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ProblemError(
            "--plot", "matplotlib is not installed; python3 -m pip install 'parallel-strategy-optimizer[plot]'"
        ) from None
    groups: dict[str, list[Point]] = {}
    for point in points:
        if point.figures is not None and point.gpus is not None:
            groups.setdefault(point.name, []).append(point)
    if not groups:
        raise ProblemError("--plot", "no point keeps every rule, so there is nothing to draw")
    panels = _panels(points)
    # Equal sweeps give equal pictures: no date, and ids that do not change.
    with matplotlib.rc_context(
        {"svg.hashsalt": "optimizer", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    ):
        figure = Figure(figsize=(8, 2.4 * len(panels) + 0.6), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (label, value) in zip(axes, panels, strict=True):
            for name, group in list(groups.items())[:MOST_CURVES]:
                _draw(axis, sorted(group, key=lambda point: point.gpus or 0), value, name)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            axis.grid(True, alpha=0.3)
        axes[-1].set_xlabel("GPUs there are")
        more = f" (first {MOST_CURVES} of {len(groups)} scenarios)" if len(groups) > MOST_CURVES else ""
        axes[0].set_title(f"{title}{more}")
        if len(groups) > 1:
            axes[0].legend(fontsize=7)
        picture = io.BytesIO()
        figure.savefig(picture, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
    return picture.getvalue()


def _draw(axis: Any, group: Sequence[Point], value: Any, name: str) -> None:
    counts, values = [point.gpus for point in group], [value(point) for point in group]
    axis.plot(
        counts,
        values,
        marker="o" if len(group) <= 40 else None,
        markersize=3,
        linewidth=1.2,
        drawstyle="steps-post",
        label=name or None,
    )


def _panels(points: Sequence[Point]) -> list[tuple[str, Any]]:
    panels: list[tuple[str, Any]] = [
        ("request, mean (ms)", lambda point: point.figures.request_mean_ms),
        ("first token P99 (ms)", lambda point: point.figures.ttft_p99_ms),
        ("tokens/s at most", lambda point: point.figures.peak_tokens_per_s),
    ]
    if any(point.price_per_million_output_tokens is not None for point in points):
        panels.append(("price per million tokens", lambda point: point.price_per_million_output_tokens))
    return panels
