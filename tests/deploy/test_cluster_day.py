"""Launch files of a day on an inventory: a workload for each part, its instances by the hour, and autoscalers with computed targets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from optimizer.deployment.day_parts import DayPart
from optimizer.deployment.day_scalers import autoscalers, scaled_objects
from optimizer.deployment.day_schedule import cron_jobs
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.errors import ProblemError
from optimizer.questions.cluster_day import solve_cluster_day
from optimizer.questions.deploy_together import files_of_day
from optimizer.reading.cluster_day import cluster_day_from_dict
from optimizer.results.cluster_day import ClusterDayAnswer
from tests.profile.test_cluster_days import small

kubernetes_validate = pytest.importorskip("kubernetes_validate")
CUSTOM = ("ScaledObject", "LeaderWorkerSet")


@pytest.fixture(scope="module")
def day() -> ClusterDayProblem:
    return cluster_day_from_dict(small())


@pytest.fixture(scope="module")
def answer(day: ClusterDayProblem) -> ClusterDayAnswer:
    return solve_cluster_day(day)


@pytest.fixture(scope="module")
def files(day: ClusterDayProblem, answer: ClusterDayAnswer) -> dict[str, str]:
    return files_of_day(day, answer)


def documents(text: str, kind: str = "") -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if kind in ("", one["kind"])]


def by_hour(answer: ClusterDayAnswer, group: str) -> list[int]:
    """Instances on a group in each hour, as the answer has them."""
    found = [0] * 24
    for one in answer.hours:
        for hour in range(one.first, one.first + one.hours):
            found[hour % 24] = sum(name.startswith(f"{group} ") for name in one.running)
    return found


def played(jobs: list[dict[str, Any]], name: str) -> list[int]:
    """Instances of a workload in the middle of each hour after a day of these CronJobs."""
    changes = []
    for job in jobs:
        minute, hour = map(int, job["spec"]["schedule"].split()[:2])
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        for step in [*pod.get("initContainers", []), *pod["containers"]]:
            kind, what, *rest = step["args"]
            if kind == "scale" and what.endswith(f"/{name}"):
                changes.append((60 * hour + minute, int(rest[0].removeprefix("--replicas="))))
            elif kind == "patch" and what.endswith(f"/{name}"):
                least = json.loads(next(one for one in rest if "{" in one).removeprefix("--patch="))
                changes.append((60 * hour + minute, least["spec"]["minReplicas"]))
    changes.sort()
    return [next((n for at, n in reversed(changes) if at <= 60 * hour + 30), changes[-1][1]) for hour in range(24)]


def test_every_file_is_valid_and_names_are_used_once(files: dict[str, str]) -> None:
    every = [
        one
        for name, text in files.items()
        if name.endswith(".yaml") and "values" not in name
        for one in documents(text)
    ]
    for one in every:
        if one["kind"] not in CUSTOM:
            kubernetes_validate.validate(one, "1.33", strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in every]
    assert len(names) == len(set(names))
    assert {
        "schedule.yaml",
        "keda.yaml",
        "hpa.yaml",
        "prometheus-adapter-values.yaml",
        "SCHEDULE.md",
        "router.yaml",
    } <= set(files)


def test_each_part_has_a_workload_on_its_own_gpus(files: dict[str, str], answer: ClusterDayAnswer) -> None:
    found = {}
    for one in documents(files["engines.yaml"], "Deployment"):
        pod = one["spec"]["template"]["spec"]
        terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        (product,) = {value for asked in terms[0]["matchExpressions"] for value in asked["values"]}
        found[one["metadata"]["name"]] = one["spec"]["replicas"], product
        assert "--max-num-seqs" in pod["containers"][0]["command"]
    assert list(found) == ["small-0", "small-1"]
    homes = [sum(home.group == group for home in answer.homes) for group in ("h", "l")]
    assert [count for count, _ in found.values()] == homes
    assert "H100" in found["small-0"][1] and "L40S" in found["small-1"][1]
    (budget,) = [
        one
        for one in documents(files["engines.yaml"], "PodDisruptionBudget")
        if one["metadata"]["name"] == "small-engines"
    ]
    assert budget["spec"]["maxUnavailable"] == 0 and "minAvailable" not in budget["spec"]


@pytest.mark.parametrize("file", ["schedule.yaml", "hpa.yaml"])
def test_cron_jobs_play_the_plan(files: dict[str, str], answer: ClusterDayAnswer, file: str) -> None:
    jobs = documents(files[file], "CronJob")
    for name, group in (("small-0", "h"), ("small-1", "l")):
        counts = by_hour(answer, group)
        # Starts are minutes before their hour, after the middle of the hour before.
        assert all(home.start_s < 1800 for home in answer.homes)
        assert played(jobs, name) == counts
    (role,) = documents(files[file], "Role")
    assert all(rule["resourceNames"] == ["small-0", "small-1"] for rule in role["rules"])


def test_keda_has_the_hours_and_the_rate_of_each_part(files: dict[str, str], answer: ClusterDayAnswer) -> None:
    scaled = {one["metadata"]["name"]: one["spec"] for one in documents(files["keda.yaml"])}
    for name, group in (("small-0", "h"), ("small-1", "l")):
        counts, spec = by_hour(answer, group), scaled[name]
        assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (min(counts), max(counts))
        assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        *hours, rate = spec["triggers"]
        assert {one["metadata"]["desiredReplicas"] for one in hours} == {str(n) for n in counts if n > min(counts)}
        assert f'pod=~"{name}-.*"' in rate["metadata"]["query"]
        # A part that goes to none is not kept by a single request.
        assert float(rate["metadata"]["activationThreshold"]) >= max(counts) * float(rate["metadata"]["threshold"])


def test_targets_by_hand(files: dict[str, str], answer: ClusterDayAnswer) -> None:
    """Of each hour: (what keeps every rule - growth · start) · c / Σ c of what runs; the least, a tenth lower."""
    carried = {pool.where: pool.capacity for one in answer.hours for pool in one.answer.pools}
    growth, start = (14 - 1) / 3600, answer.homes[0].start_s
    scaled = {one["metadata"]["name"]: one["spec"] for one in documents(files["keda.yaml"])}
    plain = {one["metadata"]["name"]: one["spec"] for one in documents(files["hpa.yaml"], "HorizontalPodAutoscaler")}
    for name, group in (("small-0", "h"), ("small-1", "l")):
        least = min(
            (one.within - growth * start)
            * carried[group]
            / sum(carried[pool.where] * pool.instances for pool in one.answer.pools)
            for one in answer.hours
            if any(pool.where == group for pool in one.answer.pools)
        )
        threshold = float(scaled[name]["triggers"][-1]["metadata"]["threshold"])
        assert threshold == pytest.approx(least / 1.1, abs=0.001)
        (metric,) = plain[name]["metrics"]
        held = int(metric["pods"]["target"]["averageValue"].removesuffix("m")) / 1000
        # Little's law: as many are in progress as arrive in the time of one, which lies near that of the plan's hours.
        times = [
            pool.metrics.request_mean_ms for one in answer.hours for pool in one.answer.pools if pool.where == group
        ]
        assert 0.5 * min(t for t in times if t) < 1000 * held / threshold < 2 * max(t for t in times if t)
        assert held < 32, "more than the slots of an instance are never in progress before it is full"
    rules = yaml.safe_load(files["prometheus-adapter-values.yaml"])["rules"]["custom"]
    assert rules[0]["name"]["as"] == metric["pods"]["metric"]["name"] == "requests_in_progress"


def test_words_say_how_many_run_when(files: dict[str, str], answer: ClusterDayAnswer) -> None:
    words = files["SCHEDULE.md"]
    for one in answer.hours:
        counts = [sum(name.startswith(f"{group} ") for name in one.running) for group in ("h", "l")]
        assert f"| {one.first:02d}:00 to " in words
        assert f" | {counts[0]} | {counts[1]} |" in words
    assert "hpa.yaml" in words and "keda.yaml" in words


def test_other_targets_are_refused_and_hosts_keep_parts_apart(day: ClusterDayProblem, answer: ClusterDayAnswer) -> None:
    with pytest.raises(ProblemError, match="kubernetes"):
        files_of_day(day, answer, target="shell")
    files = files_of_day(day, answer, hosts="h-0=alpha,l-0=beta,l-1=gamma")
    first, second = documents(files["engines.yaml"], "Deployment")
    assert "alpha" in str(first) and "beta" not in str(first)
    assert "beta" in str(second) and "gamma" in str(second) and "alpha" not in str(second)


def test_sglang_is_asked_for_the_metrics_that_autoscalers_read() -> None:
    day = cluster_day_from_dict(small(engine="sglang"))
    files = files_of_day(day, solve_cluster_day(day))
    for one in documents(files["engines.yaml"], "Deployment"):
        assert "--enable-metrics" in one["spec"]["template"]["spec"]["containers"][0]["command"]
    assert "sglang:num_running_reqs" in files["prometheus-adapter-values.yaml"]
    assert "sglang:num_requests_total" in files["keda.yaml"]


def part(counts: list[int], **more: Any) -> DayPart:
    values: dict[str, Any] = {
        "name": "a", "kind": "Deployment", "label": "TP1", "start_s": 300, "add_at_per_s": 4.0, "request_mean_ms": 2000.0,
    }  # fmt: skip
    return DayPart(counts=tuple(counts), **values | more)


def test_a_start_of_an_hour_keeps_what_the_hour_before_changed() -> None:
    one = part([3] * 8 + [2] + [4] * 15, start_s=3600)
    assert one.switches() == [(0, 4, 3), (8 * 60, 3, 4)]


def test_parts_that_nothing_changes_have_no_files() -> None:
    same = part([2] * 24, add_at_per_s=0.0)
    assert cron_jobs("a", "default", [same]) == scaled_objects("a", "default", "vllm", [same]) == []
    assert autoscalers("a", "default", "vllm", [same]) == []
    changing = part([2] * 12 + [3] * 12)
    assert autoscalers("a", "default", "trtllm", [changing]) == []
    (only,) = scaled_objects("a", "default", "trtllm", [changing])
    assert [trigger["type"] for trigger in only["spec"]["triggers"]] == ["cron"]
    (scaler, *_) = autoscalers("a", "default", "sglang", [changing])
    assert scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "7272m"  # 4 · 2 s / 1.1


def test_instances_over_several_nodes_are_scaled_as_sets() -> None:
    wide = part([1] * 8 + [2] * 16, kind="LeaderWorkerSet", name="big-1")
    (scaled,) = scaled_objects("big", "default", "vllm", [wide])
    leader = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "big-1"}
    assert scaled["spec"]["scaleTargetRef"] == leader
    assert autoscalers("big", "default", "vllm", [wide])[0]["spec"]["scaleTargetRef"] == leader
    job = next(one for one in cron_jobs("big", "default", [wide]) if one["kind"] == "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["scale", "leaderworkersets.leaderworkerset.x-k8s.io/big-1"]
