"""``--show-completion SHELL``: typer's own option only knows the shell it is run from, which a script has none of."""

from __future__ import annotations

import os
from collections.abc import Sequence

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
VARIABLE = "_OPTIMIZER_COMPLETE"


def name_shell(arguments: Sequence[str]) -> None:
    """Have the program print the script of the shell that is named after ``--show-completion``.

    Raises:
        ProblemError: there is no completion for this shell.
    """
    if len(arguments) != 2 or arguments[0] != "--show-completion":
        return
    from optimizer.facts.errors import ProblemError, closest

    if arguments[1] not in SHELLS:
        raise ProblemError(
            "--show-completion", f"{arguments[1]!r} is not a known shell; {closest(arguments[1], SHELLS)}"
        )
    os.environ[VARIABLE] = f"source_{arguments[1]}"
