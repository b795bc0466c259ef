"""Every field of every schema that takes a number takes numbers only, however the field came to be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from optimizer.facts.chain import ChainProblem
from optimizer.facts.file import ProblemFile
from optimizer.facts.profile import DayFile
from optimizer.facts.several import SeveralFile
from optimizer.reading.cluster_models import ClusterModelsFile
from optimizer.reading.inventory_input import InventoryFile

FILES: tuple[type[BaseModel], ...] = (
    ProblemFile, DayFile, SeveralFile, InventoryFile, ClusterModelsFile, ChainProblem,
)  # fmt: skip


def _models(of: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    if isinstance(of, type) and issubclass(of, BaseModel):
        if of in seen:
            return
        seen.add(of)
        yield of
        for field in of.model_fields.values():
            yield from _models(field.annotation, seen)
        return
    for inner in get_args(of):
        yield from _models(inner, seen)


def _numbers() -> Iterator[tuple[str, Any]]:
    seen: set[Any] = set()
    for file in FILES:
        for model in _models(file, seen):
            for name, field in model.model_fields.items():
                whole: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
                kinds = TypeAdapter(whole).json_schema()
                options = kinds.get("anyOf", [kinds])
                if any(option.get("type") in ("number", "integer") for option in options):
                    yield f"{model.__name__}.{name}", (whole, any(o.get("type") == "string" for o in options))


def test_numbers_are_numbers_in_every_field() -> None:
    loose = []
    for name, (whole, words) in dict(_numbers()).items():
        adapter = TypeAdapter(whole)
        for value in (True, False, *(() if words else ("0.25", "1", "3", "0.5"))):
            try:
                adapter.validate_python(value)
            except ValidationError:
                continue
            loose.append((name, value))
    assert len(dict(_numbers())) > 120 and loose == []
