"""Whether a problem may name files of this machine: a person's own may, one that came over a network may not.

A problem file names other files by path: a model's ``config.json``, a trace of requests, the folder of a draft model. Who sends a
problem to ``optimizer serve`` is somebody else, to whom neither the contents of a file nor whether it exists is any business.
"""

from __future__ import annotations

from optimizer.facts.errors import ProblemError


class _Files:
    """One switch for the whole process, its threads included: a switch for each thread would be forgotten in one."""

    refused = False


def refuse_from_now_on() -> None:
    """No problem that this process reads may name a file, for as long as it runs."""
    _Files.refused = True


def are_refused() -> bool:
    """Whether problems may name none."""
    return _Files.refused


def refuse(field: str, instead: str) -> None:
    """Refuse a field that names a file, where none may be named; before anything is looked up on the disk.

    Args:
        field: dotted, for the message.
        instead: what may be stated in its place.

    Raises:
        ProblemError: files may not be named. The message is the same whether there is such a file or not.
    """
    if _Files.refused:
        raise ProblemError(field, f"names a file, and a question over HTTP reads none; {instead}")
