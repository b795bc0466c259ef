"""What commands share of their options: where the question comes from, and which decisions of a strategy a person fixes.

A question is a problem file of any kind, or options on one line (``--save`` writes them as a file).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from optimizer.facts.engine_names import NAMED

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.results.answer import Fixed

PROBLEM = Annotated[
    str | None, typer.Argument(help="Problem file, YAML or JSON; or ask with the options below.", metavar="[PROBLEM]")
]
_PANEL = "Ask without a file"


def _option(kind: Any, flag: str, text: str, metavar: str | None = None) -> Any:
    return Annotated[kind | None, typer.Option(flag, help=text, metavar=metavar, rich_help_panel=_PANEL)]


OPTIONS: dict[str, Any] = {
    "gpu": _option(str, "--gpu", "GPU by catalog name, e.g. h100-sxm-80gb.", "NAME"),
    "gpus": _option(int, "--gpus", "How many; left out, one node of them.", "N"),
    "model": _option(str, "--model", "Catalog name, or path of a config.json.", "NAME"),
    "prompt": _option(int, "--prompt", "Mean prompt, tokens.", "TOKENS"),
    "output": _option(int, "--output", "Mean output, tokens.", "TOKENS"),
    "rate": _option(float, "--rate", "Requests/s in all.", "RATE"),
    "users": _option(int, "--users", "In place of --rate: users at once, each with one request in progress.", "N"),
    "think": _option(float, "--think", "Pause of a user between an answer and the next request, s.", "S"),
    "ttft_p50": _option(float, "--ttft-p50", "Limit of the time to first token at P50, ms.", "MS"),
    "ttft_p99": _option(float, "--ttft-p99", "Limit of the time to first token at P99, ms.", "MS"),
    "tpot_p50": _option(float, "--tpot-p50", "Limit of the time per output token at P50, ms.", "MS"),
    "tpot_p99": _option(float, "--tpot-p99", "Limit of the time per output token at P99, ms.", "MS"),
    "max_sequence": _option(int, "--max-sequence", "Longest request that must be served, tokens.", "TOKENS"),
    "engine": _option(str, "--engine", f"{NAMED}.", "NAME"),
    "objective": _option(
        str,
        "--objective",
        "balanced, latency, fault-tolerance, throughput, capacity, fewest-gpus or cheapest.",
        "PRESET",
    ),
}
SAVE = Annotated[
    str | None,
    typer.Option(
        "--save", help="Write the question as a commented problem file.", metavar="FILE", rich_help_panel=_PANEL
    ),
]


def _decision(kind: Any, flag: str, text: str) -> Any:
    return Annotated[kind | None, typer.Option(flag, help=text)]


DECISIONS: dict[str, Any] = {
    "tp": _decision(int, "--tp", "Tensor parallel size."),
    "pp": _decision(int, "--pp", "Pipeline parallel size."),
    "dp": _decision(int, "--dp", "Data parallel size: replicas."),
    "ep": _decision(int, "--ep", "Expert parallel size."),
    "max_num_seqs": _decision(int, "--max-num-seqs", "Sequences per replica at once."),
    "layers": _decision(str, "--layers", "Layers per stage, e.g. 20,20,20,20."),
    "weights": _decision(str, "--weights", "Weight format, e.g. fp16 or fp8."),
    "kv": _decision(str, "--kv", "KV cache format: auto, fp16, bf16, fp8, fp8_e5m2 or int8."),
    "expert_slice_ranks": _decision(
        int, "--expert-slice-ranks", "Replicas of one engine that slice every expert among them (MoE tensor parallel)."
    ),
    "dcp": _decision(int, "--dcp", "Decode context parallel size: TP ranks that share a sequence's cache."),
}
"""Options that fix a decision, in the order of ``cli.options.fixed_of``."""


def asks(
    command: Callable[..., None], without: tuple[str, ...] = (), filled: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """The command with a problem file or the options of ``OPTIONS`` in front; it is called with the ``Question``.

    Args:
        command: its first parameter is the question. A parameter ``fixed`` becomes the options of ``DECISIONS``; the command is
            called with the ``Fixed`` that they state.
        without: options whose names the command itself uses for something else, or does not ask for.
        filled: what a question on one line holds where an option is not given.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    hints = get_type_hints(command, localns={"Question": object, "Fixed": object}, include_extras=True)
    options = {name: kind for name, kind in OPTIONS.items() if name not in without}
    decides = any(one.name == "fixed" for one in own)

    @functools.wraps(command)
    def asked(problem: str | None = None, save: str | None = None, **given: Any) -> None:
        said = {name: given.pop(name, None) for name in options}
        if problem is None:
            usual = {k: v for k, v in (filled or {}).items() if k != "rate" or said.get("users") is None}
            said = {**usual, **{name: value for name, value in said.items() if value is not None}}
        if decides:
            given["fixed"] = _fixed({name: given.pop(name, None) for name in DECISIONS})
        question = _question(problem, said, save)
        if command.__name__ not in TAKE.get(question.kind, (command.__name__,)):
            from optimizer.questions.refused import not_of

            raise not_of(question.kind, f"optimizer {command.__name__.replace('_', '-')}")
        command(question, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("problem", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=PROBLEM),
        *(_option_of(name, kind) for name, kind in (DECISIONS if decides else {}).items()),
        *(one.replace(kind=keyword, annotation=hints[one.name]) for one in own if one.name != "fixed"),
        *(_option_of(name, kind) for name, kind in options.items()),
        _option_of("save", SAVE),
    ]
    asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    asked.__annotations__ = {one.name: one.annotation for one in parameters}
    del asked.__wrapped__
    return asked


TAKE = {"models": ("solve", "check", "deploy"), "day": ("solve", "deploy")}
"""Commands that take several models (``models:``), and load that changes over the day (``workload.profile``)."""


def _option_of(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _fixed(said: dict[str, Any]) -> Fixed:
    from optimizer.cli.options import fixed_of

    return fixed_of(**said)


def _question(path: str | None, said: dict[str, Any], save: str | None) -> Question:
    from optimizer.facts.errors import ProblemError
    from optimizer.reading.question import load_question, question_from_dict

    stated = [name for name, value in said.items() if value is not None]
    if path is not None:
        if stated or save is not None:
            option = "--save" if save is not None else f"--{stated[0].replace('_', '-')}"
            raise ProblemError(option, f"asks without a file; leave out {path!r}, or state it in that file")
        return load_question(path)
    from optimizer.reading.asked import commented, values_of

    values = values_of(said)
    question = question_from_dict(values)
    if save is not None:
        from optimizer.writing.files import write_file

        write_file(save, [commented(values)], "--save")
        typer.echo(f"Wrote the question to {save}.", err=True)
    return question
