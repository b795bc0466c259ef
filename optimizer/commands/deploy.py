"""``optimizer deploy``: launch files for the best strategy, or for one that a person chose.

Exit codes: 0 written · 1 no strategy keeps every rule, or the chosen one does not (--force writes all the same) · 2 bad
input · 3 a limit was reached without an answer, or the verifier disagrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.answer import Answer, Fixed
    from optimizer.facts.problem import Problem

INFEASIBLE, LIMIT_REACHED = 1, 3


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deploy")(deploy)


def deploy(
    problem: Annotated[str, typer.Argument(help="Problem file, YAML or JSON.", metavar="PROBLEM")],
    target: Annotated[str, typer.Option("--target", help="shell, ray, kubernetes or compose.")] = "shell",
    engine: Annotated[str | None, typer.Option("--engine", help="vllm or sglang; left out, the problem's.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Folder to write; left out, the files are shown.", metavar="DIR")
    ] = None,
    tp: Annotated[int | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[int | None, typer.Option("--dp", help="Data parallel size: replicas.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", help="Expert parallel size.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option("--max-num-seqs", help="Sequences per replica at once.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Layers per stage, e.g. 20,20,20,20.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weight format, e.g. fp16 or fp8.")] = None,
    kv: Annotated[str | None, typer.Option("--kv", help="KV cache format: fp16, bf16 or fp8.")] = None,
    engine_version: Annotated[
        str | None,
        typer.Option("--engine-version", help="Version of the engine; left out, the newest known.", metavar="V"),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--model-id", help="What the engine loads: a Hugging Face name or a path.")
    ] = None,
    checkpoint_format: Annotated[
        str | None, typer.Option("--checkpoint-format", help="Weight format of --model-id; left out, the model's own.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", help="Container image (kubernetes, compose).")] = None,
    hosts: Annotated[
        str | None, typer.Option("--hosts", help="Host names of the nodes: node-0=HOST,… or HOST,HOST,… in order.")
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", help="Kubernetes namespace.")] = "default",
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for the search.", metavar="SECONDS")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write an infeasible strategy too, and replace files that exist.")
    ] = False,
) -> None:
    """Complete launch files for a strategy: engines, router, and what Kubernetes must keep running."""
    from optimizer.cli import _time_limit, fixed_of
    from optimizer.deploy import launch_files
    from optimizer.deploy.losses import may_lose
    from optimizer.deploy.options import resolve_options, with_hosts
    from optimizer.facts.load import load_problem
    from optimizer.placement import place_evenly
    from optimizer.render.folder import check_folder, write_folder

    fixed = fixed_of(tp, pp, dp, ep, max_num_seqs, layers, weights, kv)
    limit = _time_limit(time_limit)
    check_folder(out)
    stated = load_problem(problem)
    if engine is not None:
        stated = _with_engine(stated, engine)
    options = resolve_options(
        stated.model,
        stated.engine,
        target,
        version=engine_version,
        model_id=model_id,
        checkpoint_format=checkpoint_format,
        image=image,
        namespace=namespace,
    )
    answer, broken = _answer(stated, fixed, limit, force)
    strategy = answer.strategy
    if strategy is None:
        raise RuntimeError("an answer without a strategy went on")
    if strategy.gpus > stated.hardware.gpus:
        from optimizer.facts.errors import ProblemError

        raise ProblemError(
            "--force",
            f"{strategy.label} has {strategy.gpus} GPUs, there are {stated.hardware.gpus}; it has no placement",
        )
    placement = place_evenly(stated, strategy)
    options = with_hosts(options, hosts, placement.nodes)
    files = launch_files(
        [stated],
        placement,
        options,
        title=_title(stated, answer, options.engine_name, broken),
        may_lose=0 if broken else may_lose(stated, placement),
        notes=broken,
    )
    written = write_folder(files, out, overwrite=force)
    typer.echo(f"{_title(stated, answer, options.engine_name, broken)}.", err=True)
    for note in broken:
        typer.echo(f"  {note}", err=True)
    if out is not None:
        typer.echo(f"Wrote {written} files to {out}; README.md there says how to start.", err=True)


def _answer(problem: Problem, fixed: Fixed, limit: float | None, force: bool) -> tuple[Answer, tuple[str, ...]]:
    """The answer to deploy, and the rules it breaks in sentences; leaves where there is nothing to deploy."""
    from optimizer.api import check, solve
    from optimizer.render.progress import LiveLine

    chosen = any(getattr(fixed, name) is not None for name in type(fixed).__dataclass_fields__)
    with LiveLine() as live:
        if chosen:
            answer: Answer = check(problem, fixed, time_limit_s=limit, progress=live, repairs=False)
        else:
            answer = solve(problem, time_limit_s=limit, progress=live, repairs=False)
    if answer.status == "unknown":
        typer.echo(f"error: {problem.name}: {' '.join(answer.explanation)}", err=True)
        raise typer.Exit(LIMIT_REACHED)
    if answer.verification.checks and not answer.verification.passed:
        typer.echo("error: the independent verification disagrees with the answer; nothing was written", err=True)
        raise typer.Exit(LIMIT_REACHED)
    broken = tuple(f"Not kept: {rule.sentence}" for rule in answer.rules if rule.enabled and not rule.holds)
    if answer.strategy is None:
        said = "no strategy keeps every rule, so there is none to launch; `optimizer solve` says why"
        typer.echo(f"error: {problem.name}: {said}", err=True)
        raise typer.Exit(INFEASIBLE)
    if answer.status == "infeasible" and not force:
        typer.echo(
            f"error: {problem.name}: {answer.strategy.label} is not feasible; --force writes its launch files all the same.",
            err=True,
        )
        for note in broken:
            typer.echo(f"  {note}", err=True)
        raise typer.Exit(INFEASIBLE)
    return answer, broken


def _title(problem: Problem, answer: Answer, engine: str, broken: tuple[str, ...]) -> str:
    from importlib.metadata import version

    from optimizer.deploy.words import verdict

    label = answer.strategy.label if answer.strategy is not None else ""
    made = version("parallel-strategy-optimizer")
    return f"{problem.name}: {label} with {engine}, {verdict(answer, bool(broken))}; made by optimizer {made}"


def _with_engine(problem: Problem, engine: str) -> Problem:
    from optimizer.deploy.options import ENGINES
    from optimizer.facts.errors import ProblemError, closest

    if engine not in ENGINES:
        raise ProblemError("--engine", f"{engine!r} is not known; {closest(engine, ENGINES)}")
    return problem.model_copy(update={"engine": engine})
