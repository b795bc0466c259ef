"""Pipelines whose stages stand on two groups: their costs against one group's, which are considered, and what they do to an answer."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.costs.two_groups import TwoGroupCosts
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import check_inventory, solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Fixed
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.candidate import nodes_needed
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.curves import Curves
from optimizer.search.inventory.cuts import Cuts
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.prices import Prices
from optimizer.search.inventory.prospects import Pairing, layers_ahead
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.inventory.tables import InstanceTable
from optimizer.search.inventory.two_groups import TwoGroups
from optimizer.search.uniform.quantities import ObjectiveWeights
from optimizer.search.uniform.space import evenly
from tests.generate import WINDOWED
from tests.inventory.generate import tight_inventory


def splits_over(layers: int, stages: tuple[int, int]) -> list[tuple[int, ...]]:
    """Layers of every stage, for each division between the parts that is looked at."""
    ahead = layers_ahead(layers, stages).tolist()
    return [(*evenly(many, stages[0]), *evenly(layers - many, stages[1])) for many in ahead]


SERVICE = ("round_ms", "tpot_ms", "prefill_ms", "prefill_long_ms", "residence_ms", "admission_ms", "prompt_sum_ms")
LARGE: dict[str, Any] = {
    "name": "large",
    "model": "llama3.1-405b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 0.5},
    "requirements": {"tpot_p99_ms": 200, "max_batch": 64, "max_sequence_tokens": 4096},
    "search": {"tensor_parallel": [8], "pipeline_parallel": [1, 2]},
}
H100, A100 = {"name": "fast", "gpu": "h100-sxm-80gb", "nodes": 1}, {"name": "slow", "gpu": "a100-sxm-80gb", "nodes": 1}


def inventory(*cluster: dict[str, Any], **changes: Any) -> InventoryProblem:
    return inventory_from_dict(LARGE | {"cluster": list(cluster)} | changes)


@pytest.mark.parametrize(
    "model", ["llama3-70b", "mixtral-8x7b", WINDOWED | {"num_attention_heads": 16, "intermediate_size": 4096}]
)
@pytest.mark.parametrize("stages", [(1, 1), (2, 1), (1, 3)])
def test_alike_groups_cost_what_two_nodes_of_one_group_cost(model: Any, stages: tuple[int, int]) -> None:
    """TP8 fills a node, so that every send of the two-node replica crosses the network, and all times are equal."""
    asked = inventory(H100, H100 | {"name": "alike"}, model=model)
    group = asked.groups[0]
    pp = sum(stages)
    over = [Shape(8, pp, 1, "bf16", "bf16", split, stages) for split in splits_over(asked.model.layers, stages)[::9]]
    alone = [Shape(8, pp, 1, "bf16", "bf16", shape.layers_per_stage) for shape in over]
    parts = tuple(asked.instance_problem(group, many) for many in stages)
    two = TwoGroupCosts((parts[0], parts[1]), over)
    one = AnalyticCosts(asked.instance_problem(group, pp), alone)
    for name in SERVICE:
        assert np.allclose(getattr(two.service(64), name), getattr(one.service(64), name), rtol=1e-12), name
    for row in range(len(over)):
        mine, theirs = two.memory().fixed[row], one.memory().fixed[row]
        stage = two.table.class_of_stage[row], one.table.class_of_stage[row]
        assert mine[list(stage[0])].tolist() == theirs[list(stage[1])].tolist()


def test_each_stage_has_the_time_of_its_own_gpu() -> None:
    """The slow stage's step is that of a pipeline on slow nodes alone, the fast stage's that on fast ones."""
    asked = inventory(H100, A100)
    parts = tuple(asked.instance_problem(group, 1) for group in asked.groups)
    split = (70, 56)
    two = TwoGroupCosts((parts[0], parts[1]), [Shape(8, 2, 1, "bf16", "bf16", split, (1, 1))])
    batch = np.array([[1, 16]])
    mixed = sum(two.steps.decode_terms(batch).values())
    for number, part in enumerate(parts):
        same = AnalyticCosts(part, [Shape(8, 2, 1, "bf16", "bf16", split)])
        expected = sum(same.steps.decode_terms(batch).values())
        assert np.allclose(mixed[0, two.table.class_of_stage[0][number]], expected[0, number], rtol=1e-12)


@pytest.mark.parametrize(("layers", "stages"), [(10, (1, 1)), (10, (2, 3)), (80, (3, 4)), (7, (3, 4)), (126, (2, 6))])
def test_layers_over_two_groups(layers: int, stages: tuple[int, int]) -> None:
    """All layers are placed, and any other division has a part whose fullest stage is no lighter on either side."""
    found = splits_over(layers, stages)
    first, second = stages
    fullest = {(max(split[:first]), max(split[first:])) for split in found}
    for split in found:
        assert sum(split) == layers and min(split) >= 1 and len(split) == first + second
        for part in (split[:first], split[first:]):
            assert max(part) - min(part) <= 1 and all(a >= b for a, b in pairwise(part))
    for held in range(first, layers - second + 1):
        pair = -(-held // first), -(-(layers - held) // second)
        assert any(a <= pair[0] and b <= pair[1] for a, b in fullest)


def test_a_model_that_fits_no_group_stands_on_two() -> None:
    """405B in bf16: neither node holds it; together they do, more layers on the faster GPUs."""
    answer = solve_inventory(inventory(H100, A100), ranges=False)
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches
    (pool,) = answer.pools
    parts = {part.group: (part.stages, part.nodes) for part in pool.parts}
    assert parts == {"fast": (1, 1), "slow": (1, 1)}
    layers = dict(zip((part.group for part in pool.parts), pool.strategy.layers_per_stage, strict=True))
    assert layers["fast"] > layers["slow"]
    assert answer.placement is not None
    (placed,) = answer.placement.instances
    assert placed.nodes == tuple(f"{part.group}-0" for part in pool.parts)
    assert f"{layers['slow']} layers on slow" in answer.explanation[0]


def test_alike_groups_answer_like_one_group() -> None:
    one = solve_inventory(inventory(H100 | {"nodes": 2}), ranges=False)
    two = solve_inventory(inventory(H100, H100 | {"name": "alike"}), ranges=False)
    assert one.objective is not None and two.objective is not None
    assert one.objective.value == two.objective.value
    assert one.pools[0].capacity == two.pools[0].capacity
    first, second = asdict(one.pools[0].metrics), asdict(two.pools[0].metrics)
    for name, value in first.items():  # the order in which groups are summed decides the last bits of floats
        assert second[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({}, {}, True),
        ({"rack": "r1"}, {"rack": "r1"}, True),
        ({"rack": "r1"}, {"rack": "r2"}, False),
        ({"rack": "r1"}, {}, False),
        ({"racks": 1}, {"racks": 1}, False),
    ],
)
def test_both_groups_are_in_one_rack(first: dict[str, Any], second: dict[str, Any], together: bool) -> None:
    answer = solve_inventory(inventory(H100 | first, A100 | second), ranges=False)
    assert answer.verification.passed, answer.verification.mismatches
    assert (answer.status == "optimal") == together
    if not together:
        assert answer.status == "infeasible"


def test_what_fits_within_a_group_stays_there() -> None:
    """Llama-3-70B on whole nodes of H100 and A100: no pipeline over TP8 nodes carries more than both do apart."""
    candidates = Candidates(inventory(H100, A100, model="llama3-70b"))
    assert not candidates.admit() and len(candidates.places) == 2


@pytest.mark.parametrize("seed", [3, 9, 16])
def test_all_that_carries_more_than_the_groups_apart_is_offered(seed: int) -> None:
    """Against every pipeline tabulated and rated one by one, without the quick bound."""
    asked = inventory_from_dict(tight_inventory(seed))
    candidates = Candidates(asked)
    candidates.admit()
    looked_at = 0
    for pair in candidates.pairs:
        expected = set()
        for nodes, shapes in every_shape(pair.pairing).items():
            groups = [one.group for one in pair.pairing.apart]
            problems = [asked.instance_problem(group, count) for group, count in zip(groups, nodes, strict=True)]
            table = InstanceTable(asked, problems, shapes)
            for candidate in [*table.candidates(), *table.rated(np.array(list(table.dominated), dtype=np.int64))]:
                looked_at += 1
                sides = zip(pair.pairing.apart, candidate.parts, strict=True)
                if candidate.capacity > sum(kind.most_in_place_of(part, candidate.shape.tp) for kind, part in sides):
                    expected.add((candidate.shape, candidate.capacity, candidate.slots_capacity, candidate.parts))
        kinds = [
            kind for kind in candidates.group_types if isinstance(kind, TwoGroups) and kind.apart == pair.pairing.apart
        ]
        for kind in kinds:
            kind.widen()
        found = {(o.shape, o.capacity, o.slots_capacity, o.parts) for kind in kinds for o in kind.candidates}
        assert found == expected
    assert looked_at > 20 and any(isinstance(kind, TwoGroups) for kind in candidates.group_types)


def test_check_takes_the_degrees_of_a_pipeline_over_two_groups() -> None:
    asked = inventory(H100, A100)
    answer = check_inventory(asked, Fixed(tensor_parallel=8, pipeline_parallel=2))
    assert answer.feasible and answer.verification.passed
    assert check_inventory(asked, Fixed(tensor_parallel=8, pipeline_parallel=1)).feasible is False


@pytest.mark.long
def test_a_zone_of_either_group_takes_the_pipeline() -> None:
    """Two feeds, a pipeline over both: losing either one loses it."""
    answer = solve_inventory(inventory(H100 | {"zone": "a"}, A100 | {"zone": "b"}), ranges=False)
    (loss,) = [loss for loss in answer.losses if loss.level == "zone"]
    assert loss.instances_lost == 1 and loss.capacity_left == 0
    asked = LARGE["requirements"] | {"survive": {"zone": 1, "demand_share": 0.5}}
    assert (
        solve_inventory(inventory(H100 | {"zone": "a"}, A100 | {"zone": "b"}, requirements=asked)).status
        == "infeasible"
    )


def test_racks_that_keep_a_model_apart_are_named_as_a_repair() -> None:
    answer = solve_inventory(inventory(H100 | {"rack": "r1"}, A100 | {"rack": "r2"}), ranges=False)
    assert answer.status == "infeasible"
    (repair,) = [one for one in answer.repairs if "cluster.0.rack" in one.sentence]
    assert [change.field for change in repair.changes] == ["cluster.0.rack", "cluster.1.rack"]
    assert repair.result in ("1 × TP8·PP2 on fast and slow", "1 × TP8·PP2 on slow and fast")
    asked = LARGE["requirements"] | {"survive": {"rack": 1, "demand_share": 0.1}}
    kept = solve_inventory(inventory(H100 | {"rack": "r1"}, A100 | {"rack": "r2"}, requirements=asked), ranges=False)
    assert not any("rack" in one.sentence and "Leave out" in one.sentence for one in kept.repairs)


def every_shape(pairing: Pairing) -> dict[tuple[int, ...], list[Shape]]:
    """Shapes over two groups by the nodes of their parts, listed without bounds."""
    layers, found = pairing.problem.model.layers, dict[tuple[int, ...], list[Shape]]()
    one, two = pairing.apart
    degrees = pairing.problem.search.pipeline_parallel or ()
    for tp, ep, weight, cache in pairing.widths:
        for stages in ((first, pp - first) for pp in degrees for first in range(1, pp)):
            nodes = tuple(
                nodes_needed(tp * many, many, kind.group.free_gpus, kind.together)
                for kind, many in zip((one, two), stages, strict=True)
            )
            if None not in nodes:
                shapes = [Shape(tp, sum(stages), ep, weight, cache, s, stages) for s in splits_over(layers, stages)]
                found.setdefault(tuple(quantities or 0 for quantities in nodes), []).extend(shapes)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_prospects_are_bounded_soundly(seed: int) -> None:
    """No pipeline has more slots, stays shorter at any number in progress, or earns more at any multiplier than its bound says."""
    stated = tight_inventory(seed)
    if seed % 4 == 3:
        stated |= {"model": WINDOWED, "workload": {"prompt_tokens": 400, "output_tokens": 100, "requests_per_s": 1}}
    asked = inventory_from_dict(stated)
    for pair in Candidates(asked).pairs:
        some = pair.pairing.all
        for nodes in sorted(set(map(tuple, some.nodes.tolist()))):
            chosen = (some.nodes == nodes).all(axis=1)
            here = some.part(chosen)
            shapes = [shape for _, shape, _ in pair.pairing.shapes(here)]
            groups = [one.group for one in pair.pairing.apart]
            problems = [asked.instance_problem(group, count) for group, count in zip(groups, nodes, strict=True)]
            table = InstanceTable(asked, problems, shapes)
            assert (table.most <= here.slots).all()
            running = pair.pairing.running
            assert (table.quantities.service.residence_ms[:, running - 1] >= here.residence_ms).all()
        kind = TwoGroups(asked, pair.pairing, some, Fixed(), None)
        kind.widen()
        curves = Curves(kind)
        position = {shape: number for number, (_, shape, _) in enumerate(pair.pairing.shapes(some))}
        for factor in (0.8, 1.2, 3.0, 20.0):
            gamma = factor * float(some.fastest_ms.min(initial=np.inf))
            for number, candidate in enumerate(kind.candidates):
                rates = np.linspace(0, candidate.slots_capacity / 1e6, 40)[1:]
                means = kind.means([candidate], rates[None, :])[0]
                attained = max(0.0, float((rates * (gamma - means)).max()))
                bound = pair.pairing.earns_at_most(some, gamma)[position[candidate.shape]]
                assert attained <= bound
                assert curves.fastest_ms(number) >= some.fastest_ms[position[candidate.shape]]


@pytest.mark.parametrize("other", [A100, H100 | {"name": "alike"}], ids=["unlike", "alike"])
@pytest.mark.parametrize("built", [False, True])
def test_groups_worth_nothing_alone_are_worth_their_parts_of_pipelines(other: dict[str, Any], built: bool) -> None:
    """The model fits on no group alone, so that both are worth the same without pipelines: the bound must not forget those."""
    problem = inventory(H100, other)
    candidates = Candidates(problem)
    best = InventorySolver(problem, candidates).run().best
    assert best is not None and len(best.plan.entries) == 1
    asked = candidates if built else Candidates(problem)
    few = Master(problem, asked, problem.search.disabled_rules, None, everything=False)
    cuts = Cuts(candidates, ObjectiveWeights.of(problem.objective))
    terms = Cuts(asked, ObjectiveWeights.of(problem.objective)).own(few, cuts.gamma(best), 1e-5)
    assert Prices(problem, asked, few, terms).least_ns <= best.value.exact_ms * NS_PER_MS * (1 + 1e-9)
