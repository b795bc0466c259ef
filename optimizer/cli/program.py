"""The ``optimizer`` command: reads options, calls the public API, prints. No arithmetic, no formatting rules.

Exit codes: 0 every rule holds · 1 proved infeasible, or a rule is violated · 2 bad input · 3 a limit was reached
without an answer, or the verifier disagrees · 70 a defect. Ctrl-C and SIGTERM print the best answer found so far and its gap, with
the code of its status; 3 where there is none yet, or where it had not been verified. Output that its reader does not take to the end
changes no code; output that cannot be written (a full disk) is 2.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from optimizer.cli import deploy, detect, graph, pareto, recommend, report, sweep, why
from optimizer.cli.audit import audit
from optimizer.cli.catalog import catalog_app, schema
from optimizer.cli.completion import name_shell
from optimizer.cli.costs import Costs, CostTableFile, apply_costs, with_table_option
from optimizer.cli.import_ import import_app
from optimizer.cli.options import Json, fixed_of, time_limit_of, trace_file
from optimizer.cli.repairs import AllConflicts, ApplyRepair, Force, Out, apply, check_options, say_none, tell
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shortened

if TYPE_CHECKING:
    from optimizer.results.answer import Answer, CheckAnswer


class _Interrupted(Exception):
    """Ctrl-C that no command turned into an answer."""


_FIRST = (
    "solve",
    "check",
    "why-not",
    "why-this",
    "how-sure",
    "audit",
    "sweep",
    "recommend",
    "pareto",
    "report",
    "deploy",
)


class _Commands(TyperGroup):
    """Lists what people come for first, and takes Ctrl-C before typer does, which would leave without a word."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    cls=_Commands,
    help="The provably best parallel strategy (TP, PP, DP, EP) for serving a large language model, with a verified explanation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(catalog_app, name="catalog")
app.command()(schema)
app.command()(audit)
app.add_typer(import_app, name="import")
why.register(app)
graph.register(app)
detect.register(app)
deploy.register(app)
sweep.register(app)
recommend.register(app)
pareto.register(app)
report.register(app)

INTERRUPTED_IN_TYPER = 130
OK, VIOLATED, BAD_INPUT, LIMIT_REACHED, DEFECT = 0, 1, 2, 3, 70
EXIT_CODES = {"optimal": OK, "feasible": OK, "infeasible": VIOLATED, "unknown": LIMIT_REACHED}

ProblemPath = Annotated[str, typer.Argument(help="Problem file, YAML or JSON.", metavar="PROBLEM")]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", help="Seconds for the search.", metavar="SECONDS")]

Svg = Annotated[str | None, typer.Option("--svg", help="Draw the chains (kind: chain) to this file.", metavar="PATH")]


Trace = Annotated[
    str | None, typer.Option("--trace", help="Simulate on the requests of this CSV instead of Poisson.", metavar="FILE")
]


@app.command()
def solve(
    problem: ProblemPath,
    json: Json = False,
    time_limit: TimeLimit = None,
    svg: Svg = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the answer's percentiles.")] = True,
    trace: Trace = None,
    costs: Costs = "analytic",
    table: CostTableFile = None,
    all_conflicts: AllConflicts = False,
    apply_repair: ApplyRepair = None,
    out: Out = None,
    force: Force = False,
) -> None:
    """The provably best strategy for a problem, or why there is none; for kind: chain, the best placement."""
    from optimizer.cli.chain import solve_if_chain
    from optimizer.cli.inventory import run_if_inventory

    limit = time_limit_of(time_limit)
    check_options(apply_repair, out, force)
    chain = solve_if_chain(problem, json, limit, svg, costs, table, trace)
    if chain is not None:
        _leave_by(chain[1], EXIT_CODES[chain[0]])
    unused = {"--trace": trace, "--costs": costs != "analytic", "--all-conflicts": all_conflicts}
    write = partial(apply, number=apply_repair, out=out, force=force)
    fleet = run_if_inventory(problem, json, limit, None, unused, write)
    if fleet is not None:
        _leave_by(fleet[1], EXIT_CODES[fleet[0]])
    from optimizer.questions.uniform import simulate as play
    from optimizer.questions.uniform import solve as run
    from optimizer.reading.stated import load_stated
    from optimizer.render.progress import LiveLine

    file = load_stated(problem)
    stated = apply_costs(file.problem(), costs, table)
    with LiveLine() as live:
        answer = run(stated, time_limit_s=limit, progress=live, stated=file, all_conflicts=all_conflicts)
        if simulate or trace:
            answer = play(stated, answer, trace=trace_file(trace))
    said = apply(file, answer, apply_repair, out, force)
    _show(answer, json)
    if not json:
        say_none(answer, asked=True)
    tell(said)
    _leave(answer, EXIT_CODES[answer.status])


@app.command()
def check(
    problem: ProblemPath,
    tp: Annotated[int | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[int | None, typer.Option("--dp", help="Data parallel size: replicas.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", help="Expert parallel size.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option("--max-num-seqs", help="Sequences per replica at once.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Layers per stage, e.g. 20,20,20,20.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weight format, e.g. fp16 or fp8.")] = None,
    kv: Annotated[str | None, typer.Option("--kv", help="KV cache format: fp16, bf16 or fp8.")] = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the strategy's percentiles.")] = False,
    repairs: Annotated[
        bool, typer.Option("--repairs", help="Find the smallest changes that help (JSON: always).")
    ] = False,
    trace: Trace = None,
    json: Json = False,
    time_limit: TimeLimit = None,
    costs: Costs = "analytic",
    table: CostTableFile = None,
    all_conflicts: AllConflicts = False,
    apply_repair: ApplyRepair = None,
    out: Out = None,
    force: Force = False,
) -> None:
    """Whether a strategy keeps every rule, each with its slack, and the optimum beside it."""
    from optimizer.cli.inventory import run_if_inventory
    from optimizer.questions.uniform import check as run
    from optimizer.questions.uniform import simulate as play
    from optimizer.reading.stated import load_stated
    from optimizer.render.progress import LiveLine

    fixed = fixed_of(tp, pp, dp, ep, max_num_seqs, layers, weights, kv)
    limit = time_limit_of(time_limit)
    check_options(apply_repair, out, force)
    unused = {
        "--trace": trace,
        "--simulate": simulate,
        "--costs": costs != "analytic",
        "--all-conflicts": all_conflicts,
    }
    write = partial(apply, number=apply_repair, out=out, force=force)
    helping = repairs or json or apply_repair is not None
    fleet = run_if_inventory(problem, json, limit, fixed, unused, write, repairs=helping)
    if fleet is not None:
        _leave_by(fleet[1], EXIT_CODES[fleet[0]])
    file = load_stated(problem)
    stated = apply_costs(file.problem(), costs, table, fixed)
    with LiveLine() as live:
        answer = run(
            stated,
            fixed,
            time_limit_s=limit,
            progress=live,
            stated=file,
            all_conflicts=all_conflicts,
            repairs=helping,
        )
        if simulate or trace:
            answer = play(stated, answer, trace=trace_file(trace))
    said = apply(file, answer, apply_repair, out, force)
    _show(answer, json)
    if not json:
        say_none(answer, asked=repairs or apply_repair is not None)
    tell(said)
    _leave(answer, {True: OK, False: VIOLATED, None: LIMIT_REACHED}[answer.feasible])


def _show(answer: Answer | CheckAnswer, as_json: bool) -> None:
    if as_json:
        from optimizer.render.as_json import answer_data, dumps

        typer.echo(dumps(answer_data(answer)))
        return
    from optimizer.render.text import print_answer, print_check
    from optimizer.results.answer import CheckAnswer

    if isinstance(answer, CheckAnswer):
        print_check(answer)
    else:
        print_answer(answer)


def _leave(answer: Answer, code: int) -> NoReturn:
    if not answer.verification.checks and answer.status != "unknown":
        typer.echo("error: interrupted before the answer was verified; do not rely on it", err=True)
        raise typer.Exit(LIMIT_REACHED)
    _leave_by(answer.verification.passed or not answer.verification.checks, code)


def _leave_by(agreed: bool, code: int) -> NoReturn:
    if not agreed:
        typer.echo("error: the independent verification disagrees with the answer; do not rely on it", err=True)
        code = LIMIT_REACHED
    raise typer.Exit(code)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point: every refusal is one line on standard error, never a traceback."""
    from optimizer.cli.streams import guarded

    with guarded() as streams:
        code = streams.code(_code(sys.argv[1:] if arguments is None else arguments))
    sys.exit(code)


def _code(arguments: list[str]) -> int:
    """The exit code of the command, which has said all there is to say."""
    try:
        name_shell(arguments)
        app(args=with_table_option(arguments), prog_name="optimizer")
    except SystemExit as left:
        if left.code == INTERRUPTED_IN_TYPER:
            return _interrupted()
        return left.code if isinstance(left.code, int) else OK if left.code is None else BAD_INPUT
    except ProblemError as error:
        typer.echo(f"error: {error}", err=True)
        return BAD_INPUT
    except (KeyboardInterrupt, _Interrupted):
        return _interrupted()
    except Exception as error:
        if os.environ.get("OPTIMIZER_DEBUG"):
            raise
        said = shortened(f"{type(error).__name__}: {error}")
        typer.echo(f"error: a defect in optimizer ({said}); set OPTIMIZER_DEBUG=1 for the traceback", err=True)
        return DEFECT
    return OK


def _interrupted() -> int:
    typer.echo("interrupted before an answer was found", err=True)
    return LIMIT_REACHED
