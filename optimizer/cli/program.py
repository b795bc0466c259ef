"""The ``optimizer`` command: reads options, calls the public API, prints. No arithmetic, no formatting rules.

Exit codes: 0 every rule holds · 1 proved infeasible, or a rule is violated · 2 bad input · 3 a limit was reached
without an answer, or the verifier disagrees · 70 a defect. Ctrl-C and SIGTERM print the best answer found so far and its gap, with
the code of its status; 3 where there is none yet, or where it had not been verified. Output that its reader does not take to the end
changes no code; output that cannot be written (a full disk) is 2.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from optimizer.cli import usage
from optimizer.cli.completion import VARIABLE, name_shell
from optimizer.cli.costs import with_table_option
from optimizer.cli.interrupted import Interrupted, answered
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shortened
from optimizer.questions import codes

_FIRST = (
    "solve",
    "check",
    "why-not",
    "why-this",
    "how-sure",
    "audit",
    "sweep",
    "recommend",
    "fit",
    "compare",
    "pareto",
    "report",
    "deploy",
    "verify-deployment",
)


class _Commands(TyperGroup):
    """Lists what people come for first, and takes Ctrl-C before typer does, which would leave without a word."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Every command with its whole sentence: cut off, it would not say what the command answers."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(limit=1_000)) for name, command in named if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(codes.UNDECIDED) from None


def _version(asked: bool) -> None:
    if asked:
        from optimizer.version import __version__

        typer.echo(f"optimizer {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself."""


_HOMES = {
    "catalog": "catalog",
    "schema": "catalog",
    "audit": "audit",
    "model": "model",
    "import": "import_",
    "solve": "solve",
    "check": "solve",
    "why-not": "why",
    "why-this": "why",
    "how-sure": "why",
    "graph": "graph",
    "detect": "detect",
    "accuracy": "accuracy",
    "calibrate": "calibrate",
    "bench-plan": "bench_plan",
    "deploy": "deploy",
    "verify-deployment": "verify_deployment",
    "sweep": "sweep",
    "recommend": "recommend",
    "fit": "fit",
    "compare": "compare",
    "pareto": "pareto",
    "report": "report",
    "init": "init",
    "serve": "serve",
}
"""The module of each command, in the order in which the help lists those that ``_FIRST`` does not."""


def app_of(name: str | None = None) -> typer.Typer:
    """The program with one command, whose module alone is loaded; with all of them where none of theirs is named."""
    app = typer.Typer(
        cls=_Commands,
        help="The provably best parallel strategy (TP, PP, DP, EP) for serving a large language model, with a verified explanation.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_options)
    for home in dict.fromkeys(_HOMES.values()) if name not in _HOMES else (_HOMES[name],):
        import_module(f"optimizer.cli.{home}").register(app)
    if name in _HOMES:
        app.registered_commands = [one for one in app.registered_commands if one.name == name]
        app.registered_groups = [one for one in app.registered_groups if one.name == name]
    return app


def _app_for(arguments: list[str]) -> typer.Typer:
    """What the command line needs of the program: help and completion tell of every command."""
    return app_of(None if not arguments or os.environ.get(VARIABLE) else arguments[0])


INTERRUPTED_IN_TYPER = 130


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point: every refusal is one line on standard error, never a traceback."""
    from optimizer.cli.streams import guarded

    with guarded() as streams, _without_numpy_s_warnings():
        said = _code(sys.argv[1:] if arguments is None else arguments)
        answered()
        code = streams.code(said)
    sys.exit(code)


@contextmanager
def _without_numpy_s_warnings() -> Iterator[None]:
    """What overflows in a table of bounds is told by the rules that it breaks: the words of numpy say nothing to a person.

    ``-W`` and PYTHONWARNINGS show them all the same.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _code(arguments: list[str]) -> int:
    """The exit code of the command, which has said all there is to say."""
    try:
        name_shell(arguments)
        arguments = with_table_option(arguments)
        code = _app_for(arguments)(args=arguments, prog_name="optimizer", standalone_mode=False)
        if code == INTERRUPTED_IN_TYPER:
            return _interrupted()
        return code if isinstance(code, int) else codes.OK
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else codes.OK if left.code is None else codes.BAD_INPUT
    except ProblemError as error:
        typer.echo(f"error: {error}", err=True)
        return codes.BAD_INPUT
    except Interrupted as stopped:
        return _interrupted(stopped.code, stopped.said)
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        if isinstance(error, usage.UsageFault):
            if usage.asks_for_help(error):
                error.show()
            else:
                typer.echo(f"error: {usage.sentence(error, arguments)}", err=True)
            return error.exit_code
        # While a library was being loaded, which tells it as an error of its own; pydantic only in the words of one.
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt) or _told_by_pydantic(error):
            return _interrupted()
        if os.environ.get("OPTIMIZER_DEBUG"):
            raise
        said = shortened(f"{type(error).__name__}: {error}")
        typer.echo(f"error: a defect in optimizer ({said}); set OPTIMIZER_DEBUG=1 for the traceback", err=True)
        return codes.DEFECT


def _told_by_pydantic(error: Exception) -> bool:
    """Whether Ctrl-C came while pydantic built a schema."""
    return type(error).__name__ == "SchemaError" and "KeyboardInterrupt" in str(error)


def _interrupted(code: int = codes.UNDECIDED, said: str | None = None) -> int:
    typer.echo(said or "interrupted before an answer was found", err=True)
    return code
