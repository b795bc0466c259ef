"""``optimizer deploy``: launch files for the best strategy, or for one that a person chose.

Exit codes: 0 written · 1 no strategy keeps every rule, or the chosen one does not (--force writes all the same) · 2 bad
input · 3 a limit was reached without an answer, or the verifier disagrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Decode, OwnPrefill, time_limit_of
from optimizer.facts.engine_names import NAMED
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.deployment.chosen import Chosen
    from optimizer.deployment.options import Options
    from optimizer.deployment.service import Service
    from optimizer.deployment.side_by_side import BothParts
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import Question
    from optimizer.results.answer import Answer, CheckAnswer, Fixed
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.pools import FixedPools, PoolsAnswer
    from optimizer.results.side_by_side import SideBySideAnswer

    BesideAnswer = SideBySideAnswer | ClusterSideBySideAnswer
    AnyAnswer = Answer | CheckAnswer | InventoryAnswer | PoolsAnswer | ClusterPoolsAnswer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deploy")(asks(deploy, without=("engine",)))


def deploy(
    question: Question,
    fixed: Fixed,
    prefill: OwnPrefill = None,
    decode: Decode = None,
    target: Annotated[
        str,
        typer.Option(
            "--target", help="shell, ray, kubernetes, compose, systemd or slurm; of pools llm-d or dynamo too."
        ),
    ] = "shell",
    engine: Annotated[str | None, typer.Option("--engine", help=f"{NAMED}; left out, the problem's.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Folder to write; left out, the files are shown.", metavar="DIR")
    ] = None,
    engine_version: Annotated[
        str | None,
        typer.Option("--engine-version", help="Version of the engine; left out, the newest known.", metavar="V"),
    ] = None,
    assume: Annotated[
        str | None,
        typer.Option(
            "--assume", help="Known version that an unknown --engine-version is taken to be like.", metavar="V0"
        ),
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would start where, with ports and files; write nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write an infeasible strategy too, and replace files that exist.")
    ] = False,
) -> None:
    """Complete launch files for a strategy: engines, router, and what Kubernetes must keep running."""
    from optimizer.deployment.files import files_of_service
    from optimizer.deployment.options import resolve_options, with_hosts
    from optimizer.deployment.plan import plan_lines
    from optimizer.deployment.service import build_service as service_of
    from optimizer.questions.deploy import BESIDE
    from optimizer.reading.pools import pools_of
    from optimizer.render.folder import check_folder, write_folder
    from optimizer.results.kinds import name_of
    from optimizer.version import __version__

    limit = time_limit_of(time_limit)
    check_folder(out)
    if question.kind in ("models", "day"):
        from optimizer.cli.deploy_together import deploy_together

        deploy_together(
            question,
            target=target,
            out=out,
            version=engine_version,
            assume=assume,
            image=image,
            namespace=namespace,
            hosts=hosts,
            limit=limit,
            force=force,
            not_taken={
                "--engine": engine, "--model-id": model_id, "--checkpoint-format": checkpoint_format,
                "--prefill": prefill, "--decode": decode, "--dry-run": dry_run or None, "--tp": fixed.any or None,
            },
        )  # fmt: skip
        return
    stated = _with_engine(_launched(question), engine)
    options = resolve_options(
        stated.model,
        stated.engine,
        target,
        version=engine_version,
        assume=assume,
        model_id=model_id,
        checkpoint_format=checkpoint_format,
        image=image,
        namespace=namespace,
    )
    answer = _answer(stated, fixed, pools_of(prefill, decode), limit, both=True)
    if name_of(answer) in BESIDE:
        _write_both(stated, cast("BesideAnswer", answer), options, out, force=force, hosts=hosts, dry_run=dry_run)
        return
    chosen = _choose(stated, answer, fixed, force)
    options = with_hosts(options, hosts, chosen.placement.nodes)
    title = f"{chosen.title(options.engine_name)}; made by optimizer {__version__}"
    service = service_of(chosen, options, title)
    files = files_of_service(service)
    if options.unchecked:
        typer.echo(f"warning: {options.unchecked}", err=True)
    if dry_run:
        typer.echo("\n".join(plan_lines(service, files)))
        return
    written = write_folder(files, out, overwrite=force)
    typer.echo(f"{title}.", err=True)
    for note in chosen.broken:
        typer.echo(f"  {note}", err=True)
    if out is not None:
        typer.echo(f"Wrote {written} files to {out}; README.md there says how to start.", err=True)


def planned(
    question: Question, fixed: Fixed, pools: FixedPools | None, engine: str | None, model_id: str | None
) -> tuple[Service, AnyAnswer]:
    """The service that ``deploy`` would write, and the answer that it is made from."""
    from optimizer.deployment.options import resolve_options
    from optimizer.deployment.service import build_service
    from optimizer.questions.deploy import BESIDE
    from optimizer.results.kinds import name_of

    stated = _with_engine(_launched(question), engine)
    options = resolve_options(stated.model, stated.engine, "shell", model_id=model_id)
    answer = _answer(stated, fixed, pools, None, both=True)
    mixed = name_of(answer) in BESIDE
    chosen = _beside(stated, cast("BesideAnswer", answer)).together if mixed else _choose(stated, answer, fixed, True)
    return build_service(chosen, options, chosen.title(options.engine_name)), answer


def _launched(question: Question) -> Problem | InventoryProblem:
    from optimizer.facts.errors import ProblemError

    if question.kind == "chain":
        raise ProblemError("kind", "chain: no engine's launch files describe it; optimizer solve prints who holds what")
    return cast("Problem | InventoryProblem", question.problem)


def _with_engine(problem: Problem | InventoryProblem, engine: str | None) -> Problem | InventoryProblem:
    """The problem with another engine: step times and latencies are then that engine's."""
    from optimizer.engines.registry import engine_of

    return problem if engine is None else problem.model_copy(update={"engine": engine_of(engine, "--engine").id})


def _choose(problem: Problem | InventoryProblem, answer: AnyAnswer, fixed: Fixed, force: bool) -> Chosen:
    """What to launch; leaves with a sentence where there is nothing, or nothing that keeps every rule."""
    from optimizer.deployment.chosen import chosen_of, chosen_of_inventory
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.deploy import chosen_pools
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.pools import PoolsAnswer

    found = answer.placement is not None if isinstance(answer, InventoryAnswer) else answer.strategy is not None
    if answer.status == "unknown":
        _stop(problem.name, " ".join(answer.explanation), codes.UNDECIDED)
    if not answer.verification.passed:
        checked_at_all = bool(answer.verification.checks)
        said = (
            "the independent verification disagrees with the answer"
            if checked_at_all
            else "the answer was not verified"
        )
        _stop(problem.name, f"{said}; nothing was written", codes.UNDECIDED)
    if not found:
        _stop(
            problem.name,
            "no strategy keeps every rule, so there is none to launch; `optimizer solve` says why",
            codes.NO,
        )
    try:
        if isinstance(answer, PoolsAnswer | ClusterPoolsAnswer):
            chosen = chosen_pools(problem, answer)
        elif isinstance(answer, InventoryAnswer):
            chosen = chosen_of_inventory(cast("InventoryProblem", problem), answer, fixed.any)
        else:
            chosen = chosen_of(cast("Problem", problem), answer)
    except ValueError as error:
        pooled = isinstance(answer, PoolsAnswer | ClusterPoolsAnswer)
        raise ProblemError("serving" if pooled else "--dp", f"the strategy has no place: {error}") from None
    if (chosen.broken or answer.status == "infeasible") and not force:
        for note in chosen.broken:
            typer.echo(f"  {note}", err=True)
        said = f"{chosen.label} is not feasible; --force writes its launch files all the same"
        _stop(problem.name, said, codes.NO)
    return chosen


def _beside(problem: Problem | InventoryProblem, answer: BesideAnswer) -> BothParts:
    """What to launch of joint instances beside pools; leaves with a sentence where they were not verified."""
    from optimizer.questions.deploy import beside_chosen

    if not answer.verification.passed:
        said = "the independent verification disagrees with the answer; nothing was written"
        _stop(problem.name, said, codes.UNDECIDED)
    return beside_chosen(problem, answer)


def _write_both(
    problem: Problem | InventoryProblem,
    answer: BesideAnswer,
    options: Options,
    out: str | None,
    *,
    force: bool,
    hosts: str | None,
    dry_run: bool,
) -> None:
    """Write the files of joint instances beside pools."""
    from optimizer.deployment.options import with_hosts
    from optimizer.deployment.side_by_side import side_by_side_files
    from optimizer.render.folder import write_folder
    from optimizer.version import __version__

    beside = _beside(problem, answer)
    if answer.feasible is False and not force:
        said = "these joint instances beside pools break a rule (optimizer check says which); --force writes them all the same"
        _stop(problem.name, said, codes.NO)
    options = with_hosts(options, hosts, beside.nodes)
    files, planned_lines = side_by_side_files(beside, options, f"made by optimizer {__version__}")
    if options.unchecked:
        typer.echo(f"warning: {options.unchecked}", err=True)
    if dry_run:
        typer.echo("\n".join(planned_lines))
        return
    written = write_folder(files, out, overwrite=force)
    typer.echo(f"{problem.name}: {answer.label}.", err=True)
    for note in beside.broken:
        typer.echo(f"  {note}", err=True)
    if out is not None:
        typer.echo(f"Wrote {written} files to {out}; README.md there says how to start.", err=True)


def _answer(
    problem: Problem | InventoryProblem,
    fixed: Fixed,
    pools: FixedPools | None,
    limit: float | None,
    *,
    both: bool = False,
) -> AnyAnswer:
    """The answer to be launched; ``both``: also joint instances beside pools."""
    from optimizer.questions.check import check
    from optimizer.questions.solve import solve
    from optimizer.render.progress import LiveLine

    with LiveLine() as live:
        if not fixed.any and pools is None:
            found = solve(problem, time_limit_s=limit, progress=live, repairs=False, side_by_side=both)
            return cast("AnyAnswer", found)
        judged = check(problem, fixed, pools=pools, side_by_side=both, time_limit_s=limit, progress=live, repairs=False)
        return cast("AnyAnswer", judged)


def _stop(name: str, said: str, code: int) -> NoReturn:
    typer.echo(f"error: {name}: {said}", err=True)
    raise typer.Exit(code)
