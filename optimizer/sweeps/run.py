"""A whole sweep: which points there are, what is known already, who solves the rest, and everything in input order."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from optimizer.facts.errors import ProblemError
from optimizer.questions.refused import not_of
from optimizer.reading.question import kind_of, kind_of_values, load_question
from optimizer.reading.stated import Stated, stated_of
from optimizer.reading.stated_inventory import inventory_stated_of
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.sweeps.counts import parse_counts
from optimizer.sweeps.key import Keys, product
from optimizer.sweeps.local import run_here, run_in_processes
from optimizer.sweeps.nodes import Counts, group_counts
from optimizer.sweeps.on_ray import run_on_ray
from optimizer.sweeps.points import Point, Spec, point_data, point_from_data
from optimizer.sweeps.scenarios import Scenarios, load_scenarios, scenario_name, scenarios_from_dict
from optimizer.sweeps.store import Store
from optimizer.sweeps.work import pieces

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem

Executor = Literal["local", "ray"]
FEW_POINTS = 8
"""So few points are solved in this process: starting others would take longer."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The points of a sweep, in order, and what they are changes of; ``time_limit_s`` is each point's own (inventories)."""

    stated: Stated
    specs: tuple[Spec, ...]
    prices: Mapping[str, float]
    time_limit_s: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Latency limits in ms by name (``ttft_p99_ms``) that hold at every point, which a picture may therefore draw."""
        stated = self.stated.value("requirements") or {}
        changed = {field for spec in self.specs for field in spec.changes}
        if "requirements" in changed:
            return {}
        return {
            name: float(value)
            for name, value in stated.items()
            if name.endswith("_ms") and isinstance(value, int | float) and f"requirements.{name}" not in changed
        }


def plan(
    problem: str | Path | AnyProblem | Stated,
    gpus: str | Iterable[int] | None = None,
    scenarios: str | Path | Mapping[str, Any] | None = None,
    *,
    by: Literal["gpu", "node"] = "gpu",
    prices: Mapping[str, float] | None = None,
    nodes: Mapping[str, Counts] | None = None,
    time_limit_s: float | None = None,
) -> SweepPlan:
    """Every scenario at every count, counts innermost.

    Raises:
        ProblemError: the problem, the counts or the scenario file cannot be used.
    """
    stated = stated_for(problem)
    asked = _scenarios(scenarios)
    if kind_of_values(stated.values) == "inventory":
        if gpus is not None or asked.gpus is not None:
            raise ProblemError(
                "--gpus", "counts equal GPUs; an inventory's groups are counted in nodes, e.g. --nodes h100=1..4"
            )
        points = tuple(_inventory_specs(stated, asked, nodes or {}))
        return SweepPlan(stated, points, dict(prices or {}), time_limit_s)
    if nodes:
        raise ProblemError("--nodes", "names groups of cluster; a problem with hardware is swept with --gpus")
    if time_limit_s is not None:
        raise ProblemError("--time-limit", "is for cluster, whose points may take long; with hardware each is proved")
    counts: Sequence[int | None] = _counts(stated, gpus if gpus is not None else asked.gpus, by)
    specs = [
        Spec(index, changes, count, scenario_name(changes))
        for index, (changes, count) in enumerate((c, n) for c in asked.changes for n in counts)
    ]
    return SweepPlan(stated, tuple(specs), dict(prices or {}))


def stated_for(problem: str | Path | AnyProblem | Stated) -> Stated:
    """The problem file that is swept.

    Raises:
        ProblemError: it cannot be read, or is a chain's.
    """
    if isinstance(problem, str | Path):
        stated = load_question(problem).stated
    elif isinstance(problem, Stated):
        stated = problem
    else:
        kind = kind_of(problem)
        if kind == "inventory":
            stated = inventory_stated_of(cast("InventoryProblem", problem))
        elif kind == "uniform":
            stated = stated_of(cast("Problem", problem))
        elif kind in ("models", "day"):
            raise not_of(kind, "sweep")
        else:
            stated = Stated({"kind": "chain"})
    kind = kind_of_values(stated.values)
    if kind in ("models", "day"):
        raise not_of(kind, "sweep")
    if kind_of_values(stated.values) == "chain":
        raise ProblemError(
            "kind",
            "chain: its nodes are named one by one, so there is no count to vary; change the file and ask optimizer solve, "
            "or state the nodes as groups of cluster",
        )
    return stated


def _inventory_specs(stated: Stated, asked: Scenarios, nodes: Mapping[str, Counts]) -> Iterator[Spec]:
    """Every scenario at every count of nodes; where one group's counts vary, the points of a scenario are one curve."""
    from optimizer.reading.inventory_file import inventory_from_dict

    counts: dict[str, list[int]] = {}
    if nodes:
        problem = inventory_from_dict(
            stated.values, default_name=stated.default_name, folder=stated.folder, model=stated.model
        )
        counts = group_counts(problem, nodes)
    varying = [name for name, found in counts.items() if len(found) > 1]
    for index, (changes, chosen) in enumerate(itertools.product(asked.changes, itertools.product(*counts.values()))):
        there = {f"cluster.{name}.nodes": count for name, count in zip(counts, chosen, strict=True)}
        if taken := there.keys() & changes.keys():
            raise ProblemError("--nodes", f"{min(taken)} varies in the scenario file too; name it in one place")
        named = {**changes, **there} if len(varying) > 1 else changes
        yield Spec(index, {**changes, **there}, None, scenario_name(named))


def _scenarios(scenarios: str | Path | Mapping[str, Any] | None) -> Scenarios:
    if scenarios is None:
        return Scenarios()
    return scenarios_from_dict(scenarios) if isinstance(scenarios, Mapping) else load_scenarios(scenarios)


def _counts(stated: Stated, gpus: str | Iterable[int] | None, by: Literal["gpu", "node"]) -> Sequence[int | None]:
    if gpus is None:
        return [None]
    text = gpus if isinstance(gpus, str) else ",".join(str(count) for count in gpus)
    return parse_counts(text, by, stated.problem().hardware.gpus_per_node if by == "node" else 1)


def sweep(
    problem: str | Path | AnyProblem | Stated,
    gpus: str | Iterable[int] | None = None,
    scenarios: str | Path | Mapping[str, Any] | None = None,
    *,
    by: Literal["gpu", "node"] = "gpu",
    prices: Mapping[str, float] | None = None,
    nodes: Mapping[str, Counts] | None = None,
    time_limit_s: float | None = None,
    workers: int | None = None,
    executor: Executor = "local",
    address: str | None = None,
    out: str | Path | None = None,
) -> Iterator[Point]:
    """Solve a problem at many counts of GPUs and in many scenarios; each point proved and verified as by ``solve``.

    Args:
        problem: a problem file, or what ``load_problem`` made of one.
        gpus: counts such as ``"1..64"``, ``"pow2:1..64"`` or numbers; left out, the hardware as stated.
        scenarios: a scenario file or its contents (``docs/sweep.md``).
        by: ``"node"`` keeps the counts that are whole nodes.
        prices: price per GPU and hour by GPU name, for hardware that states none.
        nodes: of an inventory: counts of nodes by the name of the group, e.g. ``{"h100": "1..4"}``; in place of ``gpus``.
        time_limit_s: of each point of an inventory; left out, each is searched until it is proved.
        workers: processes; left out, one for each CPU.
        executor: ``"ray"`` runs the pieces on a Ray cluster (extra ``[ray]``).
        address: of an existing Ray cluster.
        out: results are kept in this file as they come; a run that was stopped goes on from there.

    Yields:
        Points in input order, each as soon as it and those before it are known.

    Raises:
        ProblemError: the problem, counts, scenarios or file cannot be used. What is wrong at one point is that point's error.
    """
    asked = plan(problem, gpus, scenarios, by=by, prices=prices, nodes=nodes, time_limit_s=time_limit_s)
    return in_order(run(asked, workers=workers, executor=executor, address=address, out=out), len(asked.specs))


def run(
    asked: SweepPlan,
    *,
    workers: int | None = None,
    executor: Executor = "local",
    address: str | None = None,
    out: str | Path | None = None,
) -> Generator[Point, None, None]:
    """Points of a plan as they are known, those of an earlier run first; the file is finished after the last."""
    keys = Keys(asked.stated, asked.prices, asked.time_limit_s)
    with ExitStack() as stack:
        store = None
        key_of: dict[int, str] = {}
        known: dict[int, Point] = {}
        if out is not None:
            header = {"schema_version": SCHEMA_VERSION, "product": product(), "problem": asked.stated.default_name}
            store = stack.enter_context(Store(Path(out), header))
            key_of = {spec.index: keys.of(spec) for spec in asked.specs}
            known = {i: p for i, key in key_of.items() if (p := _known(store.known.get(key), i)) is not None}
        yield from known.values()
        missing = [spec for spec in asked.specs if spec.index not in known]
        for point in _solved(asked, missing, workers, executor, address):
            if store is not None:
                known[point.index] = point
                store.add({**point_data(point), "hash": key_of[point.index]})
            yield point
        if store is not None:
            ordered = sorted(known.items())
            store.finish({**point_data(point), "hash": key_of[i]} for i, point in ordered)


def _known(row: Mapping[str, Any] | None, index: int) -> Point | None:
    """A point that an earlier run stored; None where it has to be solved, failed ones again."""
    if row is None or row.get("status") == "error":
        return None
    try:
        return replace(point_from_data(row), index=index)
    except (KeyError, TypeError):
        return None


def _solved(
    asked: SweepPlan, missing: Sequence[Spec], workers: int | None, executor: Executor, address: str | None
) -> Iterator[Point]:
    processes = workers or len(os.sched_getaffinity(0))
    work = pieces(asked.stated, missing, asked.prices, asked.time_limit_s)
    if executor == "ray":
        yield from run_on_ray(work, processes, address)
    elif processes == 1 or len(missing) <= FEW_POINTS:
        yield from run_here(work)
    else:
        yield from run_in_processes(work, processes)


def in_order(points: Iterable[Point], many: int) -> Iterator[Point]:
    """Points by index, each as soon as those before it are there.

    Raises:
        RuntimeError: a point is missing at the end, which is a defect.
    """
    waiting: dict[int, Point] = {}
    following = 0
    for point in points:
        waiting[point.index] = point
        while following in waiting:
            yield waiting.pop(following)
            following += 1
    if following != many:
        raise RuntimeError(f"{many - following} points of the sweep are missing")
