"""Launch commands of the strategy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from optimizer.facts.errors import ProblemError
from optimizer.reporting.document import Block, Commands, Section, Text
from optimizer.reporting.subject import Subject

README = "README.md"
MOST_FILES = 6
LANGUAGES = {"sh": "bash", "yaml": "yaml", "md": "markdown", "conf": "nginx"}


@dataclass(frozen=True, slots=True)
class LaunchFound:
    """Files to launch with, the engine and version they are for, and why there are none."""

    files: tuple[Commands, ...]
    engine: str
    refusal: str = ""
    left_out: int = 0
    """Files like one that is shown, for other nodes."""


def find_launch(subject: Subject) -> LaunchFound:
    """The launch files of ``optimizer deploy`` for one machine or several, started from a shell."""
    from optimizer.deployment import launch_files
    from optimizer.deployment.chosen import chosen_of
    from optimizer.deployment.options import resolve_options
    from optimizer.deployment.shell import PROGRAMS

    problem = subject.problem
    if subject.placement is None:
        return LaunchFound((), problem.engine, "the strategy needs more GPUs than there are")
    try:
        options = resolve_options(problem.model, problem.engine, "shell")
        chosen = chosen_of(problem, subject.answer)
        files = launch_files(chosen, options, chosen.title(options.engine_name))
    except ProblemError as error:
        return LaunchFound((), problem.engine, str(error))
    files = {name: text for name, text in files.items() if name not in PROGRAMS}
    wanted = _some([name for name in files if name != README])
    shown = [Commands(name, LANGUAGES.get(name.rsplit(".", 1)[-1], ""), files[name]) for name in wanted]
    return LaunchFound(tuple(shown), options.engine_name, left_out=len(files) - 1 - len(shown))


def _some(names: list[str]) -> list[str]:
    """All names, or where there are many, the first of each kind: names that differ in digits only are of one kind."""
    if len(names) <= MOST_FILES:
        return names
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(re.sub(r"\d+", "", name), name)
    return list(first.values())


def launch_section(subject: Subject, found: LaunchFound) -> Section:
    """The files, or why there are none."""
    blocks: list[Block] = []
    if not found.files:
        blocks.append(Text((f"There are no launch commands: {found.refusal}.",)))
    else:
        said = (
            f"For {found.engine}. optimizer deploy writes these files, and those for Ray, Kubernetes and Compose, with a README "
            "that says what each setting carries."
        )
        if found.left_out:
            said += f" Shown is one of each kind; {found.left_out} more are like it for other nodes."
        blocks.append(Text((said,)))
        blocks += found.files
    return Section("launch", "Launch commands", tuple(blocks))
