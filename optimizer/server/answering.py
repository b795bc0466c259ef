"""One request answered: the body read, the question asked, the same JSON as the command prints with ``--json``.

Runs in a worker process, in which no problem may name a file (``reading.local_files``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import ValidationError

from optimizer.facts.errors import ProblemError
from optimizer.questions import codes
from optimizer.reading.question import Question, question_from_dict
from optimizer.results.answer import SCHEMA_VERSION, Fixed
from optimizer.server import asked as bodies

MOST_POINTS = 512
"""Points of one sweep over HTTP; more are for ``optimizer sweep``, which keeps what it has."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: HTTP status, the command's exit code (2 for bad input, 70 for a defect), and JSON."""

    status: int
    code: int
    body: bytes
    hurried: bool = False
    """The question stated a limit of its own on time: asked again, the answer may be better."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request that was read: its question, what is asked of it, and until when (``time.monotonic``)."""

    question: Question
    body: Any
    limit_s: float
    until: float

    @property
    def problem(self) -> Any:
        return self.question.problem

    @property
    def options(self) -> dict[str, Any]:
        """What searching questions take."""
        return {"stated": self.question.stated, "time_limit_s": self.limit_s}


def answer(name: str, body: bytes, most_s: float) -> Reply:
    """Answer one question; never raises.

    Args:
        name: of the question, one of ``QUESTIONS``.
        body: JSON of the form of ``bodies``.
        most_s: seconds that the server gives one question.
    """
    try:
        data, code, hurried = _answered(name, body, most_s)
        return Reply(200, code, _json(data), hurried)
    except ProblemError as error:
        return failed(400, codes.BAD_INPUT, _field(error.field), error.message)
    except RecursionError:
        return failed(400, codes.BAD_INPUT, "problem", "is nested too deep")
    except MemoryError:
        return failed(503, codes.DEFECT, "problem", "needs more memory than this machine has")
    except Exception as error:
        print(f"error: a defect in optimizer ({type(error).__name__}: {error})"[:500], file=sys.stderr)
        return failed(500, codes.DEFECT, "", f"a defect in optimizer ({type(error).__name__}); its terminal says more")


def failed(status: int, code: int, field: str, message: str) -> Reply:
    """What is wrong: the field, the value and what would be right, as the command says after ``error:``."""
    return Reply(status, code, _json({"error": {"field": field, "message": message}}))


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _field(field: str) -> str:
    """The field of the body that an option of the command stands for: ``--tp`` is ``fixed.tp``."""
    if not field.startswith("--"):
        return field
    name = field.removeprefix("--").replace("-", "_")
    return {"time_limit": "time_limit_s"}.get(name, f"fixed.{name}" if name in bodies.Decisions.model_fields else name)


def _answered(name: str, body: bytes, most_s: float) -> tuple[dict[str, Any], int, bool]:
    """(JSON, exit code, whether a limit on time was stated)."""
    from optimizer.reading.files import mapping_of
    from optimizer.reading.load import first_error

    kind, ask = QUESTIONS[name]
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ProblemError("body", "is not UTF-8") from None
    values = mapping_of(text, "body", "an object with the problem and what is asked of it", is_json=True)
    try:
        read = kind.model_validate(values)
    except ValidationError as error:
        raise first_error(error, values, kind, what=f"the question {name}") from None
    limit_s = read.time_limit_s or most_s
    if limit_s > most_s:
        raise ProblemError(
            "time_limit_s", f"{limit_s:g} is not allowed; at most {most_s:g} here (optimizer serve --time-limit)"
        )
    until = time.monotonic() + limit_s
    return (*ask(_Ask(_question(read), read, limit_s, until)), read.time_limit_s is not None)


def _question(read: bodies.Asked) -> Question:
    from optimizer.reading.files import mapping_of

    if (read.problem is None) == (read.line is None):
        raise ProblemError("problem", "or line is needed, one of the two")
    if read.line is not None:
        from optimizer.reading.asked import values_of

        return question_from_dict(values_of(read.line.model_dump()))
    if isinstance(read.problem, str):
        return question_from_dict(mapping_of(read.problem, "problem"))
    assert read.problem is not None
    return question_from_dict(read.problem)


def _fixed(decisions: bodies.Decisions) -> Fixed:
    stated = decisions.model_dump()
    return Fixed(*(stated[name] for name in _DECISIONS))


_DECISIONS = ("tp", "pp", "dp", "ep", "max_num_seqs", "layers", "weights", "kv", "expert_slice_ranks", "dcp")
"""Decisions of a body, in the order of the fields of ``Fixed``."""
assert len(_DECISIONS) == len(fields(Fixed))


def _solve(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.simulate import simulate
    from optimizer.questions.solve import solve
    from optimizer.render.envelope import envelope

    found: Any = solve(ask.problem, **ask.options, all_conflicts=ask.body.all_conflicts, gap=ask.body.gap)
    if ask.body.simulate:
        found = simulate(ask.problem, found)
    return envelope(found), codes.of_solve(found)


def _check(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.check import check
    from optimizer.questions.simulate import simulate
    from optimizer.reading.pools import pools_of
    from optimizer.render.envelope import envelope

    body = ask.body
    found: Any = check(
        ask.problem,
        _fixed(body.fixed),
        placement=_placement(body.placement, ask.question.kind),
        pools=pools_of(body.prefill, body.decode),
        share=body.share,
        **ask.options,
        all_conflicts=body.all_conflicts,
        repairs=body.repairs,
    )
    if body.simulate:
        found = simulate(ask.problem, found)
    return envelope(found), codes.of_check(found)


def _placement(values: Mapping[str, Any] | None, kind: str) -> Any:
    if values is None:
        return None
    from optimizer.reading.proposal import chain_proposal_from_dict, proposal_from_dict, several_proposal_from_dict

    if kind == "models":
        return several_proposal_from_dict(values)
    if kind == "uniform":
        raise ProblemError("placement", "is for cluster and for chains; with hardware state fixed")
    return chain_proposal_from_dict(values) if kind == "chain" else proposal_from_dict(values)


def _why_not(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.why_not import why_not
    from optimizer.reading.pools import pools_of
    from optimizer.reading.proposal import layers_option
    from optimizer.render.why import why_not_data

    body = ask.body
    found = why_not(
        ask.problem,
        _fixed(body.fixed),
        layers=layers_option(body.node),
        pools=pools_of(body.prefill, body.decode),
        serving=body.serving,
        share=body.share,
        **ask.options,
    )
    return why_not_data(found), codes.of_why_not(found)


def _why_this(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.why_this import why_this
    from optimizer.render.why import why_this_data

    found = why_this(ask.problem, **ask.options)
    return why_this_data(found), codes.of_why_this(found)


def _how_sure(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.how_sure import how_sure
    from optimizer.render.why import how_sure_data

    found = how_sure(ask.problem, **ask.options)
    data = how_sure_data(found)
    return data, codes.of_how_sure(found, data["strategy"] is not None or data["label"] is not None)


def _sweep(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.sweeps.curve import curves
    from optimizer.sweeps.points import point_data

    points, complete = _swept(ask, ask.body.gpus)
    data = {
        "schema_version": SCHEMA_VERSION,
        "problem": ask.question.stated.default_name,
        "complete": complete,
        "points": [point_data(one) for one in points],
        "explanation": [sentence for curve in curves(points) for sentence in curve.sentences],
    }
    code = codes.of_sweep(points)
    # Of points that the time did not reach nothing is said.
    return data, codes.UNDECIDED if code == codes.NO and not complete else code


def _swept(ask: _Ask, gpus: str | None) -> tuple[list[Any], bool]:
    """Points as far as the time goes, and whether that is all of them."""
    from optimizer.sweeps.nodes import nodes_option
    from optimizer.sweeps.run import in_order, plan, run

    body = ask.body
    is_sweep = isinstance(body, bodies.SweepAsked)
    nodes = nodes_option([f"{group}={counts}" for group, counts in body.nodes.items()]) if is_sweep else {}
    scenarios = body.scenarios if is_sweep else None
    planned = plan(
        ask.question.stated,
        gpus,
        scenarios,
        by=body.by if is_sweep else "gpu",
        prices=body.prices if is_sweep else None,
        nodes=nodes,
        time_limit_s=ask.limit_s if ask.question.kind == "inventory" else None,
    )
    many = len(planned.specs)
    if many > MOST_POINTS:
        raise ProblemError("gpus", f"asks {many:,} points; at most {MOST_POINTS} over HTTP, or optimizer sweep")
    if many == 1 and gpus is None and not nodes and scenarios is None:
        raise ProblemError("gpus", "names no counts, and there are no scenarios; for one point ask solve")
    points: list[Any] = []
    for point in in_order(run(planned, workers=1), many):
        points.append(point)
        if time.monotonic() > ask.until:
            break
    return points, len(points) == many


def _recommend(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.render.recommend import recommendation_data
    from optimizer.sweeps.nodes import nodes_option
    from optimizer.sweeps.recommend import recommend

    body = ask.body
    found = recommend(
        ask.question.stated,
        body.gpus,
        list(body.types) if body.types else None,
        least=body.least,
        by=body.by,
        prices=body.prices or None,
        nodes=nodes_option([f"{group}={counts}" for group, counts in body.nodes.items()]),
        time_limit_s=ask.limit_s if ask.question.kind == "inventory" else None,
    )
    return recommendation_data(found), codes.of_recommendation(found)


def _pareto(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.pareto import pareto, read_axes
    from optimizer.render.pareto import front_data

    front = pareto(ask.problem, read_axes(ask.body.axes), points=ask.body.points, time_limit_s=ask.limit_s)
    return front_data(front, ask.question.kind), codes.of_front(front)


def _report(ask: _Ask) -> tuple[dict[str, Any], int]:
    from optimizer.questions.check import check
    from optimizer.questions.simulate import simulate
    from optimizer.questions.solve import solve
    from optimizer.reporting.ask import report
    from optimizer.reporting.written.files import without_extras
    from optimizer.reporting.written.json import report_data
    from optimizer.reporting.written.markdown import report_markdown

    problem, fixed = ask.problem, _fixed(ask.body.fixed)
    found: Any = check(problem, fixed, **ask.options) if fixed.any else solve(problem, **ask.options)
    found = simulate(problem, found)
    problem = problem.decided(found.decided) if hasattr(found, "decided") else problem
    built = report(problem, found, stated=ask.question.stated, curve=_curve(ask))
    lacking = without_extras() if ask.body.html else None
    page = None
    if ask.body.html and lacking is None:
        from optimizer.reporting.written.html import report_html

        page = report_html(built)
    data = {
        **report_data(built.report),
        "markdown": report_markdown(built.report),
        "html": page,
        "lacking": lacking,
    }
    return data, codes.of_report(found, bool(built.report.disagreeing))


def _curve(ask: _Ask) -> tuple[Any, ...]:
    """The sweep that the report draws too."""
    if ask.body.sweep is None:
        return ()
    from optimizer.reporting.curves import SweepPoint

    points, _ = _swept(ask, ask.body.sweep)
    return tuple(
        SweepPoint(
            gpus=one.gpus,
            status=one.status,
            strategy=one.label,
            ttft_p99_ms=getattr(one.figures, "ttft_p99_ms", None),
            tpot_p99_ms=getattr(one.figures, "tpot_p99_ms", None),
            request_mean_ms=getattr(one.figures, "request_mean_ms", None),
            max_request_rate=getattr(one.figures, "max_request_rate", None),
            name=one.name,
            price_per_hour=one.price_per_hour,
        )
        for one in points
        if one.gpus is not None and one.status != "error"
    )


QUESTIONS: dict[str, tuple[type[bodies.Asked], Callable[[_Ask], tuple[dict[str, Any], int]]]] = {
    "solve": (bodies.SolveAsked, _solve),
    "check": (bodies.CheckAsked, _check),
    "why-not": (bodies.WhyNotAsked, _why_not),
    "why-this": (bodies.Asked, _why_this),
    "how-sure": (bodies.Asked, _how_sure),
    "sweep": (bodies.SweepAsked, _sweep),
    "recommend": (bodies.RecommendAsked, _recommend),
    "pareto": (bodies.ParetoAsked, _pareto),
    "report": (bodies.ReportAsked, _report),
}
"""What can be asked: the form of its body, and how it is answered."""
