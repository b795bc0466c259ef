"""Do each worked addition on a copy of the project, run its tests, and print how many files it touched.

python -m scripts.recipes [part of a name …]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from scripts.recipes import architecture, cost_term, engine, gpu, report_metric, rule
from scripts.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("optimizer", "tests", "scripts", "docs", "problems", "pyproject.toml", "README.md")
RECIPES: tuple[Recipe, ...] = tuple(one.RECIPE for one in (gpu, rule, cost_term, report_metric, architecture, engine))


def together() -> dict[str, str]:
    """Name of an addition → why it does not work: all on one copy, each one's own test before and after.

    Cheaper than one after the other, whose tests of the project (``Recipe.also``) are not run here.
    """
    with tempfile.TemporaryDirectory() as place:
        copy = _copied(place)
        tests = {recipe.name: f"tests/test_of_recipe_{number}.py" for number, recipe in enumerate(RECIPES)}
        for recipe in RECIPES:
            (copy / tests[recipe.name]).write_text(recipe.test)
        before = _outcomes(copy, tuple(tests.values()))
        wrong = {name: "its test passes without it" for name, file in tests.items() if before.get(file) == "passed"}
        for recipe in RECIPES:
            try:
                _apply(recipe, copy)
            except LookupError as error:
                wrong[recipe.name] = f"does not apply: {error}"
        after = _outcomes(copy, tuple(tests.values()))
        wrong |= {name: "its test fails with it" for name, file in tests.items() if after.get(file) != "passed"}
        return wrong


def _outcomes(copy: Path, tests: tuple[str, ...]) -> dict[str, str]:
    """File → ``passed`` where every test of it does; one that cannot be loaded fails."""
    report = copy / "report.xml"
    _failed(copy, (*tests, f"--junit-xml={report}"), stop=False)
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        file = f"{(case.get('classname') or case.get('name') or '').replace('.', '/')}.py"
        fine = case.find("failure") is None and case.find("error") is None
        found[file] = "passed" if fine and found.get(file, "passed") == "passed" else "failed"
    return found


def _copied(place: str) -> Path:
    copy = Path(place) / "project"
    copy.mkdir()
    for name in COPIED:
        source, target = ROOT / name, copy / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return copy


def _apply(recipe: Recipe, copy: Path) -> None:
    """Make an addition.

    Raises:
        LookupError: an edit does not apply.
    """
    for name, edit in recipe.files.items():
        file = copy / name
        try:
            file.write_text(edit(file.read_text() if file.exists() else ""))
        except LookupError as error:
            raise LookupError(f"{name}: {error}") from None


def failure(recipe: Recipe) -> str | None:
    """Why an addition does not work; None when it does, its own test fails without it, and the project's own tests pass."""
    if len(recipe.files) > recipe.most:
        return f"touches {len(recipe.files)} files, {recipe.most} at most"
    with tempfile.TemporaryDirectory() as place:
        copy = _copied(place)
        (copy / "tests/test_of_the_recipe.py").write_text(recipe.test)
        if _passes(copy, ("tests/test_of_the_recipe.py",)):
            return "its test passes without it"
        try:
            _apply(recipe, copy)
        except LookupError as error:
            return f"does not apply: {error}"
        return _failed(copy, ("tests/test_of_the_recipe.py", *recipe.also))


def _passes(copy: Path, tests: tuple[str, ...]) -> bool:
    return _failed(copy, tests) is None


def _failed(copy: Path, tests: tuple[str, ...], *, stop: bool = True) -> str | None:
    first = ("-x",) if stop else ()
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", *first, "-m", "not long", *tests]
    done = subprocess.run(
        command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else done.stdout[-2000:]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names; all when none is given")
    options = parser.parse_args()
    wrong = 0
    for recipe in RECIPES:
        if options.names and not any(name in recipe.name for name in options.names):
            continue
        why = failure(recipe)
        wrong += why is not None
        print(
            f"{recipe.name}: {len(recipe.files)} of at most {recipe.most} files; {why or 'its tests pass'}", flush=True
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
