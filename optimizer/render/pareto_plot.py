"""A front as a picture, PNG or SVG by the file's name (extra ``[plot]``)."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

from optimizer.explain.common.pareto import LEAST_LOST
from optimizer.facts.errors import ProblemError
from optimizer.render.pareto import NAMES
from optimizer.render.sweep_plot import KINDS
from optimizer.results.front import Axis, FrontPoint, ParetoFront


def check_picture(path: str) -> None:
    """Refuse a picture that cannot be made, before anything is searched for.

    Raises:
        ProblemError: the name ends in neither .png nor .svg, or matplotlib is not installed.
    """
    from importlib.util import find_spec

    if Path(path).suffix.lower() not in KINDS:
        raise ProblemError("--plot", f"{path} ends in neither .png nor .svg")
    if find_spec("matplotlib") is None:
        raise ProblemError(
            "--plot", "matplotlib is not installed; python3 -m pip install 'parallel-strategy-optimizer[plot]'"
        )


def picture(front: ParetoFront, path: str) -> bytes:
    """The first axis to the right, the second upwards, a third as colour; numbers as in the table.

    Raises:
        ProblemError: as ``check_picture``, or there is no point to draw.
    """
    check_picture(path)
    if not front.points:
        raise ProblemError("--plot", "there is no point, so there is nothing to draw")
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    kind = Path(path).suffix.lower()
    # Equal fronts give equal pictures: no date, and ids that do not change.
    with matplotlib.rc_context(
        {"svg.hashsalt": "optimizer", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    ):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        xs, ys = ([_value(point, axis) for point in front.points] for axis in front.axes[:2])
        colours = [_value(point, front.axes[2]) for point in front.points] if len(front.axes) == 3 else None
        dots = axes.scatter(xs, ys, c=colours, s=30, cmap="viridis" if colours else None, zorder=3)
        if colours is not None:
            figure.colorbar(dots, label=_label(front.axes[2]))
        else:
            axes.plot(xs, ys, drawstyle="steps-post", linewidth=0.8, alpha=0.6)
        for number, (x, y, point) in enumerate(zip(xs, ys, front.points, strict=True), start=1):
            text = f"{number} knee" if point.knee else str(number)
            text += "" if point.proved else " (not proved)"
            axes.annotate(text, (x, y), xytext=(5, 5), textcoords="offset points")
        for axis, scale in zip(front.axes[:2], (axes.set_xscale, axes.set_yscale), strict=True):
            if axis == "availability":
                scale("log")
        plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
        shares = FuncFormatter(lambda value, _: f"{value:.10%}".rstrip("0%").rstrip(".") + "%")
        for axis, side in zip(front.axes[:2], (axes.xaxis, axes.yaxis), strict=True):
            side.set_major_formatter(shares if axis == "availability" else plain)
            side.set_minor_formatter(NullFormatter())
        axes.set_xlabel(_label(front.axes[0]))
        axes.set_ylabel(_label(front.axes[1]))
        axes.grid(True, alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        incomplete = " (incomplete)" if front.status == "incomplete" else ""
        asked = textwrap.wrap(f"{front.problem}: {_question(front)}{incomplete}", 84)
        figure.suptitle("\n".join(asked), fontsize=11, fontweight="bold")
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
    return drawn.getvalue()


COSTS = {"latency": "time", "availability": "requests not served", "gpus": "GPUs", "price": "price"}


def _label(axis: Axis) -> str:
    """The name of an axis; times are drawn in seconds."""
    return "mean time of a request, s" if axis == "latency" else NAMES[axis]


def _question(front: ParetoFront) -> str:
    """What the picture answers."""
    words = {
        "latency": "a shorter time",
        "availability": "serving more",
        "gpus": "fewer GPUs",
        "price": "a lower price",
    }
    wanted = [words.get(axis, str(axis)) for axis in front.axes]
    return f"what does {wanted[0]} cost in {' and '.join(COSTS.get(axis, str(axis)) for axis in front.axes[1:])}?"


def _value(point: FrontPoint, axis: Axis) -> float:
    if axis == "latency":
        return point.request_mean_ms / 1000
    if axis == "availability":
        return max(LEAST_LOST, point.not_served)
    return float(point.gpus) if axis == "gpus" else point.price_per_hour or 0.0
