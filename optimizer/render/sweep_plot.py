"""The curves of a sweep as a picture, PNG or SVG by the file's name (extra ``[plot]``)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.facts.errors import ProblemError
from optimizer.sweeps.curve import curves
from optimizer.sweeps.screen import one_screen, value_words, varied

if TYPE_CHECKING:
    from optimizer.sweeps.curve import Curve
    from optimizer.sweeps.points import Point

MOST_CURVES = 12
KINDS = (".png", ".svg")
COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#444444")
STYLES = ("-", "--", ":", "-.")
NOTE_CHARACTERS, TITLE_CHARACTERS = 150, 84

Value = Callable[["Point"], "float | None"]


def plot(points: Sequence[Point], title: str, path: str, limits: Mapping[str, float] | None = None) -> bytes:
    """The picture: one main panel, the time of a request against the number of GPUs, and smaller ones for what limits it and its price.

    Args:
        points: of the sweep.
        title: what was asked about, e.g. the problem's name.
        path: whose ending says the kind.
        limits: of the figures by name (``ttft_p99_ms``), those that hold in every scenario; each is drawn where its figure is.

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
    read = {reading.name: reading for reading in curves(points)}
    lower = _panels(points)
    notes = _notes(points, list(read.values()), len(groups))
    # Equal sweeps give equal pictures: no date, and ids that do not change.
    with matplotlib.rc_context(
        {"svg.hashsalt": "optimizer", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    ):
        rows = -(-len(lower) // 2)
        figure = Figure(figsize=(9, 4.4 + 1.9 * rows + 0.17 * len(notes)), layout="constrained")
        grid = figure.add_gridspec(1 + rows, 2, height_ratios=[2.0] + [1.0] * rows)
        main = figure.add_subplot(grid[0, :])
        panels = [(main, "request, mean", lambda p: p.figures.request_mean_ms, "s", "")]
        panels += [(figure.add_subplot(grid[1 + n // 2, n % 2], sharex=main), *panel) for n, panel in enumerate(lower)]
        looks = _looks(list(groups.values()))
        for number, (axis, label, value, unit, limit) in enumerate(panels):
            for (name, group), look in list(zip(groups.items(), looks, strict=True))[:MOST_CURVES]:
                _draw(axis, sorted(group, key=lambda p: p.gpus or 0), _scaled(value, unit), name, look)
            _dress(axis, f"{label}, {unit}" if unit else label)
            if limit and limits and limits.get(limit) is not None:
                _limit(axis, limits[limit] * (1e-3 if unit == "s" else 1))
            axis.set_ylim(bottom=0)
            if number == 0 or number > len(panels) - 3:
                axis.set_xlabel("GPUs there are")
        for name, look in list(zip(groups, looks, strict=True))[:MOST_CURVES]:
            if name in read:
                _remarkable(main, read[name], look["color"])
        _legend(figure, _question(points, title), looks, list(groups), list(read.values()))
        if notes:
            figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7.5, color="#444444")
        picture = io.BytesIO()
        figure.savefig(picture, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
    return picture.getvalue()


def _question(points: Sequence[Point], title: str) -> str:
    """The title: what the picture answers."""
    per = listed(list(varied(points).values()))
    asked = f"{title}: how many GPUs keep every limit{f', by {per}' if per else ''}, and where do more stop paying?"
    return "\n".join(textwrap.wrap(asked, TITLE_CHARACTERS))


def listed(names: Sequence[str]) -> str:
    """Short names of fields in words."""
    words = [name.replace("_per_", "/").replace("_", " ") for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _panels(points: Sequence[Point]) -> list[tuple[str, Value, str, str]]:
    """Label, value, unit and the limit's name of each smaller panel."""
    panels: list[tuple[str, Value, str, str]] = [
        ("first token P99", lambda p: p.figures.ttft_p99_ms if p.figures else None, "s", "ttft_p99_ms"),
        ("token P99", lambda p: p.figures.tpot_p99_ms if p.figures else None, "ms", "tpot_p99_ms"),
        ("tokens/s at most", lambda p: p.figures.peak_tokens_per_s if p.figures else None, "", ""),
    ]
    if any(point.price_per_million_output_tokens is not None for point in points):
        panels.append(("price per million output tokens", lambda p: p.price_per_million_output_tokens, "", ""))
    else:
        rate: Value = lambda p: p.figures.max_request_rate if p.figures else None  # noqa: E731
        panels.append(("requests/s within all limits", rate, "", ""))
    return panels


def _scaled(value: Value, unit: str) -> Value:
    """Milliseconds as seconds where the panel counts seconds."""

    def scaled(point: Point) -> float | None:
        found = value(point)
        return found if found is None or unit != "s" else found / 1000

    return scaled


def _looks(groups: Sequence[Sequence[Point]]) -> list[dict[str, Any]]:
    """A colour for each value of the first field that differs, a kind of line for each of the others."""
    fields = list(varied([group[0] for group in groups]))
    keys = [
        (
            value_words(group[0], fields[0]) if fields else "",
            tuple(value_words(group[0], field) for field in fields[1:]),
        )
        for group in groups
    ]
    first, rest = (list(dict.fromkeys(key[place] for key in keys)) for place in (0, 1))
    return [
        {
            "color": COLOURS[first.index(one) % len(COLOURS)],
            "linestyle": STYLES[rest.index(other) % len(STYLES)],
        }
        for one, other in keys
    ]


def _draw(axis: Any, group: Sequence[Point], value: Value, name: str, look: Mapping[str, Any]) -> None:
    counts, values = [point.gpus for point in group], [value(point) for point in group]
    marker = "o" if len(group) == 1 else None
    axis.plot(counts, values, marker=marker, markersize=3, linewidth=1.4, drawstyle="steps-post", label=name, **look)


def _dress(axis: Any, label: str) -> None:
    """What all panels share: a label above, thousands separated, a light grid."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_title(label, fontsize=9, loc="left")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(True, alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def _limit(axis: Any, at: float) -> None:
    axis.axhline(at, color="#b00020", linewidth=1, linestyle=(0, (4, 3)))
    axis.annotate(
        f"limit {at:,.10g}",
        (1, at),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=7.5,
        color="#b00020",
    )


MARKS: dict[str, tuple[str, dict[str, Any]]] = {
    "fewest that meet everything": ("fewest", {"marker": "o", "markersize": 9, "markerfacecolor": "none"}),
    "knee": ("knee", {"marker": "D", "markersize": 5}),
    "cheapest per token": ("cheapest", {"marker": "*", "markersize": 6}),
}


def _remarkable(axis: Any, read: Curve, colour: str) -> None:
    """The fewest GPUs, the knee and the cheapest, marked on the main panel."""
    for name, look in MARKS.values():
        point = getattr(read, name)
        if point is not None and point.figures is not None and point.figures.request_mean_ms is not None:
            axis.plot([point.gpus], [point.figures.request_mean_ms / 1000], color=colour, linestyle="none", **look)


def _legend(
    figure: Any, title: str, looks: Sequence[Mapping[str, Any]], names: Sequence[str], readings: Sequence[Curve]
) -> None:
    """The title and, above the panels so that they cover no curve, scenarios and the marks that are in the picture."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **look) for look in looks[:MOST_CURVES]] if len(names) > 1 else []
    words = list(names[:MOST_CURVES]) if len(names) > 1 else []
    for word, (name, look) in MARKS.items():
        if any(getattr(reading, name) is not None for reading in readings):
            handles.append(Line2D([], [], color="#444444", linestyle="none", **look))
            words.append(word)
    if not words:
        figure.suptitle(title, fontsize=11, fontweight="bold")
        return
    columns = 3 if max(map(len, words)) < 44 else 2
    figure.legend(
        handles,
        words,
        fontsize=7.5,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        title=title,
        title_fontproperties={"size": 11, "weight": "bold"},
    )


def _notes(points: Sequence[Point], readings: Sequence[Curve], drawn: int) -> list[str]:
    """Who is not in the picture, and why."""
    said = list(one_screen(points, readings).none)
    if drawn > MOST_CURVES:
        said.append(f"The first {MOST_CURVES} of {drawn} scenarios are drawn.")
    return [line for sentence in said for line in textwrap.wrap(sentence, NOTE_CHARACTERS)]
