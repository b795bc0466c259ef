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

from scripts.recipes import architecture, cost_term, engine, gpu, report_metric, rule
from scripts.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("optimizer", "tests", "scripts", "docs", "problems", "pyproject.toml", "README.md")
RECIPES: tuple[Recipe, ...] = tuple(one.RECIPE for one in (gpu, rule, cost_term, report_metric, architecture, engine))


def failure(recipe: Recipe, *, alone: bool = False) -> str | None:
    """Why an addition does not work; None when it does, and its own test fails without it.

    Args:
        alone: run the addition's own test only.
    """
    if len(recipe.files) > recipe.most:
        return f"touches {len(recipe.files)} files, {recipe.most} at most"
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "project"
        copy.mkdir()
        for name in COPIED:
            source, target = ROOT / name, copy / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        (copy / "tests/test_of_the_recipe.py").write_text(recipe.test)
        if _passes(copy, ("tests/test_of_the_recipe.py",)):
            return "its test passes without it"
        for name, edit in recipe.files.items():
            file = copy / name
            try:
                file.write_text(edit(file.read_text() if file.exists() else ""))
            except LookupError as error:
                return f"does not apply: {name}: {error}"
        tests = ("tests/test_of_the_recipe.py", *(() if alone else recipe.also))
        return None if (said := _failed(copy, tests)) is None else said


def _passes(copy: Path, tests: tuple[str, ...]) -> bool:
    return _failed(copy, tests) is None


def _failed(copy: Path, tests: tuple[str, ...]) -> str | None:
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-q", "-x", "-m", "not long", *tests]
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
