#!/usr/bin/env python3
"""Answers recorded before a change that must not alter them, and compared after it.

Usage: python scripts/golden.py record FOLDER [--generated N] [--only PART]
       python scripts/golden.py compare BEFORE AFTER
Records what the commands print for every file of ``problems/``, and the answers to N generated problems on equal nodes
and N on unequal ones. To record another checkout, put it first: ``PYTHONPATH=OTHER python scripts/golden.py record …``;
the problems are those of this one. A question that takes
longer than ``--patience`` seconds is left out of the comparison and named. Exit 1 when anything differs.
"""

from __future__ import annotations

import argparse
import difflib
import io
import multiprocessing
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
TIMED = re.compile(
    r"(?<![\w.])\d[\d,.]* ?(?:s|ms) (?:of search|wall|elapsed)|\bin \d[\d,.]* s\b|\"\w*(?:wall|elapsed)\w*\": [\d.]+"
)
"""Wall times, which no two runs share."""
TOO_LONG = "not answered in the time\n"
QUESTIONS: tuple[tuple[str, ...], ...] = (
    ("solve", "{}"),
    ("solve", "{}", "--full"),
    ("solve", "{}", "--json"),
    ("check", "{}", "--tp", "4", "--pp", "2", "--json"),
    ("check", "{}", "--tp", "1", "--pp", "1"),
    ("why-not", "{}", "--tp", "2", "--pp", "2"),
    ("why-this", "{}"),
    ("how-sure", "{}"),
    ("pareto", "{}"),
    ("graph", "{}", "--format", "json"),
    ("deploy", "{}", "--target", "kubernetes", "--dry-run"),
    ("deploy", "{}", "--target", "shell", "--dry-run"),
)
ONCE: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("schema",),
    ("catalog", "gpus"),
    ("catalog", "models"),
    ("recommend", "problems/llama3-70b-8xh100.yaml"),
    ("compare", "problems/llama3-70b-8xh100.yaml"),
    ("fit", "problems/llama3-70b-8xh100.yaml"),
    ("sweep", "problems/llama3-70b-8xh100.yaml", "--gpus", "1..16"),
)
GENERATED: tuple[tuple[str, ...], ...] = (("solve", "{}", "--json"), ("why-not", "{}", "--tp", "2", "--pp", "1"))


def printed(arguments: tuple[str, ...]) -> str:
    """What the command writes and how it leaves, wall times apart."""
    from optimizer.cli.program import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as left:
            code = left.code
        except Exception as error:  # a fault of either checkout is a difference to be seen, and not the end of the run
            code = f"{type(error).__name__}: {error}"
    return TIMED.sub("(a time)", f"exit {code}\n{out.getvalue()}\n-- stderr\n{err.getvalue()}")


def questions(generated: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name of a recorded file → the command; files of generated problems are written beside the run."""
    for arguments in ONCE:
        yield "-".join(arguments).replace("/", "_"), arguments
    for file in sorted((ROOT / "problems").glob("*.yaml")):
        for asked in QUESTIONS:
            words = tuple(word.format(f"problems/{file.name}") for word in asked)
            yield f"{file.stem}-{'-'.join(word for word in asked if word != '{}')}", words
    from tests.generate import random_problem
    from tests.inventory.generate import random_inventory

    for make, kind in ((random_problem, "uniform"), (random_inventory, "inventory")):
        for seed in range(generated):
            name = f"{kind}-{seed}"
            Path(f"{name}.yaml").write_text(yaml.safe_dump(make(seed)), encoding="utf-8")
            for asked in GENERATED:
                yield f"{name}-{asked[0]}", tuple(word.format(f"{name}.yaml") for word in asked)


def record(folder: Path, generated: int, only: str, patience_s: float) -> None:
    """Write what each question is answered into a file of its own; each in a process that can be ended."""
    import optimizer.cli.program  # noqa: F401  (what every process needs is loaded once)

    start = multiprocessing.get_context("fork").Process
    folder.mkdir(parents=True, exist_ok=True)
    target = folder.resolve()
    with tempfile.TemporaryDirectory() as place, chdir(place):
        Path("problems").symlink_to(ROOT / "problems")
        for name, arguments in questions(generated):
            if only not in name:
                continue
            file = target / f"{name}.txt"
            asked = start(
                target=lambda file, words: file.write_text(printed(words), encoding="utf-8"), args=(file, arguments)
            )
            asked.start()
            asked.join(patience_s)
            if asked.is_alive():
                asked.kill()
                asked.join()
                file.write_text(TOO_LONG, encoding="utf-8")


def compare(before: Path, after: Path) -> int:
    """Print what differs; the number of files that do."""
    names = sorted({file.name for folder in (before, after) for file in folder.glob("*.txt")})
    differ = 0
    for name in names:
        texts = [(folder / name).read_text() if (folder / name).exists() else "" for folder in (before, after)]
        if TOO_LONG in texts:
            print(f"{name}: {TOO_LONG}", end="")
        elif texts[0] != texts[1]:
            differ += 1
            lines = [text.splitlines(keepends=True) for text in texts]
            sys.stdout.writelines(list(difflib.unified_diff(*lines, f"before/{name}", f"after/{name}", n=1))[:40])
    print(f"{len(names)} answers, {differ} differ")
    return differ


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    recording = parts.add_parser("record")
    recording.add_argument("folder", type=Path)
    recording.add_argument("--generated", type=int, default=200, metavar="N")
    recording.add_argument("--only", default="", metavar="PART", help="part of the names of what is recorded")
    recording.add_argument("--patience", type=float, default=120.0, metavar="S", help="seconds of one question")
    comparing = parts.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.what == "record":
        sys.path.append(str(ROOT))
        record(options.folder, options.generated, options.only, options.patience)
    else:
        sys.exit(1 if compare(options.before, options.after) else 0)


if __name__ == "__main__":
    main()
