"""Conflicts against brute force: infeasible together, feasible without any one member, for hundreds of generated problems."""

from __future__ import annotations

import random
import re
from itertools import combinations

import pytest

from optimizer import problem_from_dict, solve
from optimizer.explain.common.sets import deletion, hitting_sets
from optimizer.explain.uniform.conflict import MOST_LISTED, find_conflicts
from optimizer.explain.uniform.wide import CANDIDATES, WideSearch
from optimizer.reading.stated import Stated
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.space import build_space
from tests.explain.infeasible import BLOCK, SEEDS, feasible, infeasible


def holds_together(wide: WideSearch, stated: Stated, members: set[str]) -> bool:
    """Whether some candidate keeps the given rules and search limits; whatever is not given is switched off or opened.

    The GPU count is switched off by many more nodes, and only where it was a member before.
    """
    off = list(wide.problem.search.disabled_rules)
    changes = {"search.disabled_rules": off + [rule for rule in wide.rules if rule not in members | {"gpu_count"}]}
    for relaxation in wide.relaxations:
        if CANDIDATES.get(relaxation.id) in set(wide.members) - members and relaxation.full is not None:
            changes.update(relaxation.full)
    return feasible(stated, changes)


@pytest.mark.heavy(140)
@pytest.mark.parametrize("block", range(0, SEEDS, BLOCK))
def test_every_conflict_is_real_and_minimal(block: int) -> None:
    for seed, stated in infeasible(range(block, block + BLOCK)):
        problem = stated.problem()
        wide, quantities = WideSearch(stated, problem), Quantities(problem, build_space(problem))
        conflicts = find_conflicts(quantities, None, wide, every=True)
        assert conflicts, seed
        assert len({conflict.rules for conflict in conflicts}) == len(conflicts)
        for conflict in conflicts[:2]:
            assert conflict.minimal and conflict.rules, seed
            members = set(conflict.rules)
            assert not holds_together(wide, stated, members), (seed, conflict.rules)
            for member in members:
                rest, nodes = members - {member}, wide.relaxation("nodes")
                alone = holds_together(wide, stated, rest)
                more = nodes is not None and nodes.full is not None and "gpu_count" not in rest
                assert alone or (more and holds_together(wide, stated.changed(nodes.full), rest)), (
                    seed,
                    conflict,
                    member,
                )


def ways_out(conflicts: list[tuple[str, ...]]) -> list[set[str]]:
    """Every smallest set of members that takes one from each conflict, by trying all sets."""
    names = sorted({member for conflict in conflicts for member in conflict})
    found: list[set[str]] = []
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            members = set(chosen)
            if all(members & set(conflict) for conflict in conflicts) and not any(one <= members for one in found):
                found.append(members)
    return found


@pytest.mark.parametrize("block", range(0, SEEDS, 3 * BLOCK))
def test_no_conflict_is_missing(block: int) -> None:
    """Giving up one member of each conflict listed has to help: were it not so, a conflict would be missing from the list.

    The same freedom as for minimality: search limits may be opened, and more nodes count where the GPU count is given up.
    """
    for seed, stated in infeasible(range(block, block + BLOCK)):
        problem = stated.problem()
        wide, quantities = WideSearch(stated, problem), Quantities(problem, build_space(problem))
        listed = [conflict.rules for conflict in find_conflicts(quantities, None, wide, every=True)]
        if len(listed) >= MOST_LISTED:
            continue
        for given_up in ways_out(listed):
            kept, nodes = set(wide.members) - given_up, wide.relaxation("nodes")
            helps = holds_together(wide, stated, kept)
            if not helps and "gpu_count" in given_up and nodes is not None and nodes.full is not None:
                helps = holds_together(wide, stated.changed(nodes.full), kept)
            assert helps, (seed, given_up, listed)


@pytest.mark.parametrize("seed", range(200))
def test_hitting_sets_are_those_of_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    bits = rng.randint(2, 8)
    masks = [rng.randrange(1, 2**bits) for _ in range(rng.randint(1, 10))]
    hitting = [chosen for chosen in range(2**bits) if all(mask & chosen for mask in masks)]
    minimal = {c for c in hitting if not any(other != c and other & c == other for other in hitting)}
    found, complete = hitting_sets(masks, 10**6)
    assert complete and set(found) == minimal
    assert deletion(masks, [1 << bit for bit in range(bits)]) in minimal


def test_hitting_sets_stop_at_the_stated_number() -> None:
    found, complete = hitting_sets([0b11, 0b1100, 0b110000], 3)
    assert len(found) == 3 and not complete


def test_the_sentence_says_what_a_person_would(example: dict) -> None:  # type: ignore[type-arg]
    example["model"], example["search"] = "llama3.1-405b", {}
    (conflict,) = solve(problem_from_dict(example), repairs=False).conflicts
    assert set(conflict.rules) == {"gpu_count", "memory", "weight_precision"}
    assert "406B parameters in bf16 need 756 GiB and 8 GPUs offer 538 GiB at 85%" in conflict.sentence
    assert "the GPU count is fixed at 8" in conflict.sentence
    assert conflict.sentence.startswith("Because ") and conflict.sentence.endswith(", no strategy exists.")


AT_MOST_AT_LEAST = re.compile(r"may be at most ([\d.,]+\d) ms at P\d+ and is at least ([\d.,]+\d) ms")


def _number(words: str) -> float:
    return float(words.replace(",", ""))


def test_the_least_is_that_of_the_state_that_is_too_slow() -> None:
    """Two nodes that keep the limit together and not one alone: the sentence speaks of one alone."""
    stated = {
        "model": "qwen3-235b-a22b",
        "hardware": {"gpu": "h200-sxm-141gb", "nodes": 2, "gpus_per_node": 8},
        "workload": {"prompt_tokens": {"mean": 3000, "max": 16000}, "output_tokens": {"mean": 500, "max": 2000}},
        "requirements": {"tpot_p99_ms": 60, "survive": {"node": 1}},
        "search": {"tensor_parallel": [8], "pipeline_parallel": [1], "kv_precision": ["bf16"]},
    }
    stated["workload"]["requests_per_s"] = 6  # type: ignore[index]
    sentence = solve(problem_from_dict(stated), repairs=False).conflicts[0].sentence
    ((most, least),) = AT_MOST_AT_LEAST.findall(sentence)
    assert _number(least) > _number(most) == 60
    assert "after losing any 1 node when the rest holds" in sentence


@pytest.mark.parametrize("seed", range(0, 120, 3))
def test_no_sentence_names_a_rule_by_its_id_alone(seed: int) -> None:
    for _, stated in infeasible([seed]):
        problem = stated.problem()
        answer = solve(problem, stated=stated, all_conflicts=True)
        ids = {rule for rule in rule_ids(problem) if "_" in rule}
        for conflict in answer.conflicts:
            words = set(conflict.sentence.replace(",", " ").replace(".", " ").split())
            assert not ids & words, conflict.sentence
            assert "nan" not in words and "inf" not in words
            for most, least in AT_MOST_AT_LEAST.findall(conflict.sentence):
                assert _number(least) >= _number(most), conflict.sentence
        for repair in answer.repairs:
            assert any(change.field in repair.sentence for change in repair.changes)


def test_a_search_that_candidates_nothing_is_a_conflict_too(example: dict) -> None:  # type: ignore[type-arg]
    example["search"] = {"tensor_parallel": [16]}
    answer = solve(problem_from_dict(example))
    (conflict,) = answer.conflicts
    assert answer.status == "infeasible" and "tensor_parallel" in conflict.rules
    assert "only TP 16 is considered (search.tensor_parallel)" in conflict.sentence
    assert any(change.field == "search.tensor_parallel" for repair in answer.repairs for change in repair.changes)


DEEPSEEK = {
    "engine": "vllm",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 400},
    "model": "deepseek-v3",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4},
    "requirements": {"tpot_p99_ms": 20, "max_batch": 128, "max_sequence_tokens": 32768},
}


def test_no_conflict_denies_a_repair() -> None:
    """What a repair gives up is part of every conflict; more nodes help here, in a space that has to be thinned."""
    stated = Stated(DEEPSEEK)
    wide = WideSearch(stated, stated.problem())
    answer = solve(stated.problem(), stated=stated, all_conflicts=True)
    assert any(change.field == "hardware.nodes" for repair in answer.repairs for change in repair.changes)
    for repair in answer.repairs:
        given_up = wide.given_up(repair)
        for conflict in answer.conflicts:
            hit = sum(wide.member_bits[rule] for rule in conflict.rules) & given_up
            assert hit or not given_up, (repair.sentence, conflict.sentence)
