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
        "the per-layer TP term counts coupled ranks in the costs alone",
        "optimizer/costs/steps.py",
        "        shared = (self.table.tp > 1)[:, None]\n",
        "        shared = (self.table.tp * self.table.ranks > 1)[:, None]\n",
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
        "    if verification.passed:\n        return answer  # type: ignore",
        "    if verification.checks:\n        return answer  # type: ignore",
        "tests/verify/test_refuted.py",
    ),
    Mutation(
        "the inventory's verifier asks for one and a half times the demand",
        "optimizer/verify/inventory/outlive.py",
        "    needed = float(exact(inventory.workload.requests_per_s))\n",
        "    needed = 1.5 * float(exact(inventory.workload.requests_per_s))\n",
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "a better first tier of an inventory is no rival",
        "optimizer/verify/inventory/float_candidate.py",
        "            ahead = answer.gpus_used - sum(candidate.gpus * n for candidate, n in chosen)\n",
        "            ahead = 0\n",
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "what nodes are worth proves an answer whose first tier has no price",
        "optimizer/verify/inventory/check.py",
        'self.problem.objective.preset in ("fewest-gpus", "throughput")',
        'self.problem.objective.preset in ("throughput",)',
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "the inventory's search loses one domain where two fall",
        "optimizer/search/inventory/losses.py",
        "    if count == 1 or len(loads) == 1:\n",
        "    if loads:\n",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "what is lost where none can be spared is counted twice",
        "optimizer/search/inventory/spare.py",
        "math.floor(worth_ms * NS_PER_MS * (share - before))",
        "math.floor(2 * worth_ms * NS_PER_MS * (share - before))",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "what a loss takes of a group is 5 % more than its average part",
        "optimizer/search/inventory/lost_capacity.py",
        "    master.model.add(one * parts >= _capacity(items))\n",
        "    master.model.add(20 * one * parts >= 21 * _capacity(items))\n",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "what an instance earns at a multiplier is 5 % too low",
        "optimizer/search/inventory/curves.py",
        "        return upper\n",
        "        return upper / 1.05\n",
        "tests/inventory/test_parts.py",
    ),
    Mutation(
        "the bound of all states at once is 5 % too high",
        "optimizer/search/inventory/master.py",
        "        least = math.floor(w.latency * terms.gamma_ms * NS_PER_MS)\n",
        "        least = math.floor(1.05 * w.latency * terms.gamma_ms * NS_PER_MS)\n",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "the bound by classes of states is 5 % too high",
        "optimizer/search/inventory/by_class.py",
        "math.floor(w.latency * probability * terms.gamma_ms * NS_PER_MS)",
        "math.floor(1.05 * w.latency * probability * terms.gamma_ms * NS_PER_MS)",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "what a lost part sheds is counted twice",
        "optimizer/search/inventory/by_class.py",
        "math.floor(probability * worth_ms * NS_PER_MS / WHOLE)",
        "math.floor(2 * probability * worth_ms * NS_PER_MS / WHOLE)",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "the bound that strikes pipelines over two groups is 5 % too high",
        "optimizer/search/inventory/prices.py",
        "        return self._weights.latency * self._gamma * NS_PER_MS - nodes * _ROUNDING - 1\n",
        "        return 1.05 * self._weights.latency * self._gamma * NS_PER_MS - nodes * _ROUNDING - 1\n",
        "tests/inventory/test_bounds.py",
    ),
    Mutation(
        "stages of prospects take 5 % longer than any stage does",
        "optimizer/search/inventory/stage_bounds.py",
        "np.asarray(sum(steps.decode_terms(each).values()))",
        "np.asarray(1.05 * sum(steps.decode_terms(each).values()))",
        "tests/inventory/test_two_groups.py",
    ),
    Mutation(
        "what nodes are worth is 5 % too little to the verifier",
        "optimizer/verify/inventory/prices.py",
        "        return self._weights.latency * gamma - sum(one.worth.total for one in groups) * ROUNDING\n",
        "        return 1.05 * self._weights.latency * gamma - sum(one.worth.total for one in groups) * ROUNDING\n",
        "tests/verify_inventory/test_prices.py",
    ),
    Mutation(
        "the verifier's gains of instances are 5 % too low",
        "optimizer/verify/inventory/bound.py",
        "        return found if certain else found * self._up\n",
        "        return found / 1.05 if certain else found * self._up / 1.05\n",
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "no pipeline passes 5 % less than it does, to the verifier",
        "optimizer/verify/inventory/ceiling.py",
        "        return float(self._rates[last - 1]) * _ROUNDING\n",
        "        return float(self._rates[last - 1]) / 1.05\n",
        "tests/verify_inventory/test_two_groups_float.py",
    ),
    Mutation(
        "instances that follow add 5 % less than they can, to the verifier",
        "optimizer/verify/inventory/reach.py",
        "        found: Floats = own + later[int(self._pool[i]) + 1]\n",
        "        found: Floats = (own + later[int(self._pool[i]) + 1]) / 1.05\n",
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "what must be carried to outlive a loss is 5 % too much to the verifier",
        "optimizer/verify/inventory/outlive.py",
        "needed = max(needed, float(needed_after_losses(inventory)) / kept if kept > 0 else math.inf)",
        "needed = max(needed, 1.05 * float(needed_after_losses(inventory)) / kept if kept > 0 else math.inf)",
        "tests/verify_inventory/test_differential.py",
    ),
    Mutation(
        "a proposed placement may break its rules unseen",
        "optimizer/verify/inventory/claims.py",
        '            ledger.same("holds", holds, rule.holds)\n',
        "",
        "tests/questions/test_placements.py",
    ),
    Mutation(
        "the least price takes what costs less for enough",
        "optimizer/sweeps/recommend_inventory.py",
        "        if cost < bound:\n            continue\n",
        "        if cost < 2 * bound:\n            continue\n",
        "tests/questions/test_inventory_counts.py",
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
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-m", "not engine", mutation.test]
        env = {**os.environ, "PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, check=False)
        if done.returncode > 1:  # 1 is tests that fail; all others say that pytest itself could not run them
            return f"{mutation.test} did not run (pytest exit {done.returncode})"
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
