"""Thousands of documents that nobody would write: each is read, or refused in one short line; nothing else ever comes out.

The usual run asks for a few hundred; ``python -m pytest -m long tests/safety/test_fuzz.py`` for all of them, and with
``FUZZ_BATCH=3/20`` for the third of twenty parts. A document that failed is named by its kind and seed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from optimizer.cli.program import main
from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.file import ProblemFile
from optimizer.facts.text import visible
from optimizer.reading.chain import chain_from_dict
from optimizer.reading.files import read_mapping
from optimizer.reading.inventory_file import inventory_from_dict, is_inventory
from optimizer.reading.inventory_input import InventoryFile
from optimizer.reading.load import problem_from_dict
from tests.safety.fuzzing import KINDS, drawn, mutated, written

MANY, FEW = 10_000, 100
"""Documents of each kind and way that are read; of each of these a hundredth is also asked about."""
SCHEMAS = {"uniform": ProblemFile, "inventory": InventoryFile, "chain": ChainProblem}


def _batch() -> range:
    part, parts = map(int, os.environ.get("FUZZ_BATCH", "1/1").split("/"))
    return range(MANY * (part - 1) // parts, MANY * part // parts)


def _document(kind: str, way: str, seed: int) -> dict[str, Any]:
    return mutated(kind, seed) if way == "mutated" else drawn(kind, _schema(kind), seed)


def _schema(kind: str) -> dict[str, Any]:
    if kind not in _SCHEMAS:
        _SCHEMAS[kind] = SCHEMAS[kind].model_json_schema()
    return _SCHEMAS[kind]


_SCHEMAS: dict[str, dict[str, Any]] = {}


def _read(path: Path) -> str:
    """The refusal of a file, or nothing where it states a problem."""
    try:
        values = read_mapping(path, "p")
        if values.get("kind") == "chain":
            chain_from_dict(values)
        elif is_inventory(values):
            inventory_from_dict(values, folder=path.parent)
        else:
            problem_from_dict(values, folder=path.parent)
    except ProblemError as refused:
        return str(refused)
    return ""


def _one(kind: str, way: str, seed: int, folder: Path) -> bool:
    """Reads one document; whether it states a problem."""
    name, content = written(_document(kind, way, seed), seed)
    path = folder / name
    path.write_bytes(content)
    try:
        said = _read(path)
    except Exception as error:
        raise AssertionError(f"{kind}, {way}, seed {seed}: {type(error).__name__}: {error}") from error
    where = (kind, way, seed, said[:300])
    assert len(said) < 2_100 and visible(said) == said, where
    assert all(len(word) <= 210 for word in said.split()), where
    return not said


@pytest.mark.parametrize("way", ["mutated", "drawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_some_documents(kind: str, way: str, tmp_path: Path) -> None:
    fine = sum(_one(kind, way, seed, tmp_path) for seed in range(FEW))
    assert 0 < fine < FEW, "both kinds of documents have to occur"


@pytest.mark.long
@pytest.mark.parametrize("way", ["mutated", "drawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_documents(kind: str, way: str, tmp_path: Path) -> None:
    for seed in _batch():
        _one(kind, way, seed, tmp_path)


def _no_number(word: str) -> None:
    raise AssertionError(f"{word} in an answer")


@pytest.mark.long
@pytest.mark.parametrize("way", ["mutated", "drawn"])
@pytest.mark.parametrize("kind", KINDS)
def test_questions_about_documents(kind: str, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command: an exit code that is documented, one JSON object, and no infinite or missing number in it."""
    for seed in [seed for seed in _batch() if seed % 100 == 0]:
        name, content = written(_document(kind, way, seed), seed)
        (tmp_path / name).write_bytes(content)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["solve", str(tmp_path / name), "--json", "--time-limit", "5"])
        said = capsys.readouterr()
        where = (kind, way, seed, left.value.code, said.err[:300])
        assert left.value.code in (0, 1, 2, 3), where
        assert len(said.err) < 2_500 and "Traceback" not in said.err, where
        if said.out:
            json.loads(said.out, parse_constant=_no_number)
        assert bool(said.out) == (left.value.code != 2) or left.value.code == 3, where
