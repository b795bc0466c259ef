"""Launch commands of the strategy."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.errors import ProblemError
from optimizer.report.document import Block, Commands, Section, Text
from optimizer.report.subject import Subject

LANGUAGES = {"sh": "bash", "yaml": "yaml", "md": "markdown", "conf": "nginx"}


@dataclass(frozen=True, slots=True)
class LaunchFound:
    """Files to launch with, the engine and version they are for, and why there are none."""

    files: tuple[Commands, ...]
    engine: str
    refusal: str = ""


def find_launch(subject: Subject) -> LaunchFound:
    """The launch files of ``optimizer deploy`` for one machine or several, started from a shell."""
    from optimizer.deploy import launch_files
    from optimizer.deploy.losses import may_lose
    from optimizer.deploy.options import resolve_options

    problem, placement = subject.problem, subject.placement
    if placement is None:
        return LaunchFound((), problem.engine, "the strategy needs more GPUs than there are")
    broken = tuple(f"Not kept: {rule.sentence}" for rule in subject.answer.rules if rule.enabled and not rule.holds)
    try:
        options = resolve_options(problem.model, problem.engine, "shell")
        files = launch_files(
            [problem], placement, options, title=f"{problem.name}: {subject.strategy.label}",
            may_lose=0 if broken else may_lose(problem, placement), notes=broken,
        )  # fmt: skip
    except ProblemError as error:
        return LaunchFound((), problem.engine, str(error))
    shown = [Commands(name, LANGUAGES.get(name.rsplit(".", 1)[-1], ""), text) for name, text in files.items()]
    return LaunchFound(tuple(shown), options.engine_name)


def launch_section(subject: Subject, found: LaunchFound) -> Section:
    """The files, or why there are none."""
    blocks: list[Block] = []
    if not found.files:
        blocks.append(Text((f"There are no launch commands: {found.refusal}.",)))
    else:
        blocks.append(Text((f"For {found.engine}.",)))
        blocks += found.files
    return Section("launch", "Launch commands", tuple(blocks))
