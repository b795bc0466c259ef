#!/usr/bin/env python3
"""Mutations that a test must kill: faults put into a copy of the project one by one, each with the test that has to notice.

Usage: python scripts/mutate.py [NAME ...] [--list]. Exit 1 when a mutation survives, or no longer applies.
Add one wherever a test is written for a fault that no test had caught.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("optimizer", "tests", "problems", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault: one text of a file in place of another, and the test that must fail with it."""

    name: str
    file: str
    right: str
    wrong: str
    test: str


MUTATIONS = (
    Mutation(
        "the verifier ignores a better first tier",
        "optimizer/verify/uniform/check.py",
        "        return ahead > noise\n",
        "        return False\n",
        "tests/verify/test_refuted.py",
    ),
    Mutation(
        "the per-layer TP term forgets coupled ranks",
        "optimizer/costs/steps.py",
        "(self.table.tp * self.table.ranks > 1)[:, None]",
        "(self.table.tp > 1)[:, None]",
        "tests/search/test_cost_tables.py",
    ),
    Mutation(
        "the search alone loses one node where two fall",
        "optimizer/costs/failures.py",
        "2 * each + np.minimum(2, more), 2 * one_loss",
        "each + np.minimum(1, more), one_loss",
        "tests/search/test_cost_tables.py",
    ),
    Mutation(
        "the cap of the 99th percentile of prefill is dropped",
        "optimizer/costs/load.py",
        "np.minimum(base + np.maximum(wait99, pair), cap)",
        "base + np.maximum(wait99, pair)",
        "tests/search/test_cost_tables.py",
    ),
    Mutation(
        "engines over several replicas are not in the verifier's space",
        "optimizer/verify/common/space.py",
        "    return (1, tensor, *inside, *across)\n",
        "    return (1, tensor, *inside)\n",
        "tests/search/test_space.py",
    ),
    Mutation(
        "the search's bound of a range of counts is 5 % too high",
        "optimizer/search/uniform/replica_counts.py",
        "bound * (NS_PER_MS * (1 - ROUNDING))",
        "bound * (NS_PER_MS * 1.05)",
        "tests/search/test_replica_counts.py",
    ),
    Mutation(
        "the verifier's bound of a range of counts is 5 % too high",
        "optimizer/verify/uniform/ranges.py",
        "value * (1 - SAFETY)",
        "value * 1.05",
        "tests/verify/test_ranges.py",
    ),
    Mutation(
        "prompts of a range overlap as at its upper end",
        "optimizer/verify/uniform/ranges.py",
        "crowd = None if self._ends is None else each(self._ends.low - (self._ends.high - left))",
        "crowd = None",
        "tests/verify/test_ranges.py",
    ),
    Mutation(
        "compressed caches have key and value heads in the costs alone",
        "optimizer/costs/memory.py",
        "2 * (0 if model.mla else model.kv_heads)) * model.head_dim",
        "2 * model.kv_heads) * model.head_dim",
        "tests/search/test_cost_tables.py",
    ),
    Mutation(
        "an answer that is not confirmed stays optimal",
        "optimizer/results/answer.py",
        "    if verification.passed:\n        return answer\n",
        "    if verification.checks:\n        return answer\n",
        "tests/verify/test_refuted.py",
    ),
)


def survives(mutation: Mutation) -> str | None:
    """Why a mutation was not killed; None when it was."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "project"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        file = copy / mutation.file
        text = file.read_text()
        if text.count(mutation.right) != 1:
            return f"does not apply: {mutation.file} holds its text {text.count(mutation.right)} times"
        file.write_text(text.replace(mutation.right, mutation.wrong))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", mutation.test]
        env = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
        return None if done.returncode == 1 else f"{mutation.test} passes with it"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of names; all when none is given")
    parser.add_argument("--list", action="store_true", help="only print what there is")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if not options.names or any(name in m.name for name in options.names)]
    wrong = 0
    for mutation in chosen:
        why = None if options.list else survives(mutation)
        wrong += why is not None
        word = "" if options.list else "SURVIVES  " if why else "killed    "
        print(f"{word}{mutation.name}{f': {why}' if why else ''}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
