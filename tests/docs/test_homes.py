"""A formula has two homes, and each names the other and the section of the contract: ``Other home: ``…``; docs/…, section N.``"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "optimizer"
SAID = re.compile(r"Other homes?: (?P<homes>[^;]*); (?P<places>.*?)\.$", re.DOTALL | re.MULTILINE)
WITHOUT = {
    "analytic": "puts the tables of the others together",
    "breakdown": "names the terms of the others",
    "closed_loop": "what benchmarks do, held to measured runs (docs/accuracy.md)",
    "corpus": "measured runs, arranged",
    "distinct": "arrays, no formula",
    "features": "which measured runs are alike",
    "intervals": "from measured runs",
    "measured": "another source of times, which the verifier takes as factors",
    "measured_runs": "measured runs, read",
    "queued": "what benchmarks do, held to measured runs (docs/accuracy.md)",
    "residuals": "from measured runs, which the verifier takes as factors",
    "service": "arrays, no formula",
    "split_pools": "what benchmarks do, held to measured runs (docs/accuracy.md)",
    "startup": "what engines print, held to public logs (scripts/memory.py)",
    "table": "from measured runs, which the verifier takes as factors",
}
"""Modules of ``costs`` that hold no formula of the contract, with what they hold instead."""


@cache
def named(path: str) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    """The other homes that a module names, and the sections as (page, number)."""
    said = SAID.search(ast.get_docstring(ast.parse((PACKAGE / path).read_text())) or "")
    if said is None:
        return frozenset(), ()
    homes = frozenset(re.findall(r"``([\w/.]+)``", said["homes"]))
    places = re.findall(r"(docs/\w+\.md), sections? ([\d and]+)", " ".join(said["places"].split()))
    return homes, tuple((page, number) for page, numbers in places for number in re.findall(r"\d+", numbers))


MODULES = sorted(
    str(file.relative_to(PACKAGE)) for room in ("costs", "search", "verify") for file in (PACKAGE / room).rglob("*.py")
)
NAMING = [module for module in MODULES if named(module)[0]]


@pytest.mark.parametrize("module", NAMING)
def test_the_other_home_is_there_and_names_this_one(module: str) -> None:
    homes, places = named(module)
    for home in homes:
        assert (PACKAGE / home).is_file(), home
        assert module in named(home)[0], f"{home} does not name {module}"
        assert module.startswith("verify/") != home.startswith("verify/")
    assert places
    for page, number in places:
        assert re.search(rf"^## {number}\. ", (ROOT / page).read_text(), re.MULTILINE), f"{page}, section {number}"


def test_every_module_of_the_costs_names_one_or_holds_none() -> None:
    here = {Path(module).stem for module in MODULES if module.startswith("costs/")} - {"__init__"}
    naming = {Path(module).stem for module in NAMING if module.startswith("costs/")}
    assert naming | set(WITHOUT) >= here, here - naming - set(WITHOUT)
    assert not naming & set(WITHOUT) and set(WITHOUT) <= here
