"""From a problem file of kind ``chain`` to a checked ``ChainProblem``; every refusal is one ``ProblemError``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import name_from_path
from optimizer.reading.files import Document, read_mapping
from optimizer.reading.load import error_sentence


def load_chain(path: str | Path) -> ChainProblem:
    """Read and check a problem file of kind ``chain``.

    Raises:
        ProblemError: the file is missing, malformed, or states something impossible.
    """
    file = Path(path)
    return chain_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def chain_from_dict(
    values: Mapping[str, Any], *, default_name: str = "chain", folder: Path | None = None
) -> ChainProblem:
    """Check a chain problem given as plain data.

    Args:
        folder: where a relative path of a model starts; the working directory when left out.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if values.get("costs") == "analytic":
        from optimizer.reading.chain_analytic import analytic_chain

        return analytic_chain(values, lambda stated: _checked(stated, default_name), folder or Path())
    if "workload" in values:
        raise ProblemError("workload", "is for costs: analytic; with costs: table the tables say what nodes carry")
    return _checked(values, default_name)


def _checked(values: Mapping[str, Any], default_name: str) -> ChainProblem:
    try:
        return ChainProblem.model_validate({"name": name_from_path(default_name, "chain"), **values})
    except ValidationError as error:
        first = error.errors()[0]
        cause = (first.get("ctx") or {}).get("error")
        if isinstance(cause, ProblemError):
            raise cause from None
        field = ""
        for step in first["loc"]:
            field += f"[{step}]" if isinstance(step, int) and field else f".{step}" if field else str(step)
        line = values.line(".".join(map(str, first["loc"]))) if isinstance(values, Document) else None
        said = error_sentence(first, ChainProblem)
        raise ProblemError(field, f"{said} (line {line})" if line else said) from None
