"""Launch files of several models, and of a plan for a day: valid, named apart, and with the numbers of the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import ProfileProblem
from optimizer.facts.several import SeveralProblem
from optimizer.questions.deploy_together import files_of_day, files_of_several
from optimizer.questions.profile import solve_day
from optimizer.questions.several import solve_several
from optimizer.reading.question import problem_from_dict
from optimizer.results.day import DayAnswer
from optimizer.results.several import SeveralAnswer
from tests.questions.problems import day as day_values
from tests.questions.problems import several as several_values

kubernetes_validate = pytest.importorskip("kubernetes_validate")


@pytest.fixture(scope="module")
def models() -> tuple[SeveralProblem, SeveralAnswer]:
    problem: Any = problem_from_dict(several_values())
    return problem, solve_several(problem)


@pytest.fixture(scope="module")
def day() -> tuple[ProfileProblem, DayAnswer]:
    values = day_values(
        requirements={"max_sequence_tokens": 2048, "max_batch": 32, "tpot_p99_ms": 12},
        search={"tensor_parallel": [1], "pipeline_parallel": [1]},
    )
    values["workload"]["profile"][0]["requests_per_s"] = 25
    problem: Any = problem_from_dict(values)
    return problem, solve_day(problem)


def documents(files: dict[str, str]) -> list[dict[str, Any]]:
    return [one for name, text in files.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text)]


def test_each_model_has_a_folder_and_the_router_knows_its_name(models: tuple[SeveralProblem, SeveralAnswer]) -> None:
    files = files_of_several(*models)
    every = documents(files)
    for one in every:
        kubernetes_validate.validate(one, "1.33", strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in every]
    assert len(names) == len(set(names))
    router = list(yaml.safe_load_all(files["router.yaml"]))
    known = yaml.safe_load(router[0]["data"]["config.yaml"])["model_list"]
    services = {name for kind, name in names if kind == "Service"}
    assert [one["model_name"] for one in known] == [share.name for share in models[1].models]
    for one in known:
        assert one["litellm_params"]["api_base"].removeprefix("http://").split(":")[0] in services
    replicas = {one["metadata"]["name"]: one["spec"]["replicas"] for one in every if one["kind"] == "Deployment"}
    for share in models[1].models:
        assert replicas[share.name.replace(".", "-")] == share.instances
    assert "README.md" in files and "router.yaml" in files["README.md"]


def test_other_targets_of_several_models_are_refused(models: tuple[SeveralProblem, SeveralAnswer]) -> None:
    with pytest.raises(ProblemError, match="kubernetes"):
        files_of_several(*models, target="shell")


def test_the_hours_of_a_day_as_cron_jobs_and_triggers(day: tuple[ProfileProblem, DayAnswer]) -> None:
    problem, answer = day
    counts = [one.instances for one in answer.hours]
    assert answer.status == "optimal" and len(set(counts)) == 2, counts
    files = files_of_day(problem, answer)
    values = yaml.safe_load(files.pop("prometheus-adapter-values.yaml"))
    every = documents(files)
    for one in every:
        if one["kind"] != "ScaledObject":
            kubernetes_validate.validate(one, "1.33", strict=True)
    jobs = [one for one in yaml.safe_load_all(files["schedule.yaml"]) if one["kind"] == "CronJob"]
    (shape,) = answer.shapes
    assert len(jobs) == sum(one.started > 0 or one.stopped > 0 for one in answer.hours) == 2
    up, down = sorted(jobs, key=lambda one: int(one["spec"]["schedule"].split()[1]))
    assert (
        up["spec"]["schedule"] == f"{60 - -(-shape.start_s // 60)} 7 * * *" and down["spec"]["schedule"] == "0 20 * * *"
    )
    said = up["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--replicas={max(counts)}" in said
    (scaled,) = [one for one in every if one["kind"] == "ScaledObject"]
    spec = scaled["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (min(counts), max(counts))
    cron, rate = spec["triggers"]
    assert cron["metadata"]["desiredReplicas"] == str(max(counts)) and cron["metadata"]["end"] == "0 20 * * *"
    each = float(rate["metadata"]["threshold"])
    first = shape.thresholds[0]
    assert (
        first.instances == min(counts)
        # Autoscalers act where a metric is a tenth above its target.
        and each * 1.1 * first.instances <= first.add_at_per_s < (each + 0.002) * 1.1 * first.instances
    )
    # Without KEDA: the requests in progress at one, and the least by the hour.
    plain, *_ = yaml.safe_load_all(files["hpa.yaml"])
    assert (plain["spec"]["minReplicas"], plain["spec"]["maxReplicas"]) == (min(counts), max(counts))
    (metric,) = plain["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == values["rules"]["custom"][0]["name"]["as"]
    held = float(metric["pods"]["target"]["averageValue"].removesuffix("m")) / 1000
    night = answer.hours[0]
    assert night.ttft_p99_ms is not None and held > each * night.value / 1000 > 0, "more than at night, when less comes"
    floors = [one for one in yaml.safe_load_all(files["hpa.yaml"]) if one["kind"] == "CronJob"]
    assert [one["spec"]["schedule"] for one in floors] == [one["spec"]["schedule"] for one in jobs]
    # At night fewer pods run than stand in the file: the budget says how many may be away.
    (budget,) = [
        one for one in every if one["kind"] == "PodDisruptionBudget" and one["metadata"]["name"].endswith("-engines")
    ]
    assert "maxUnavailable" in budget["spec"] and "minAvailable" not in budget["spec"]


def test_a_day_of_two_shapes_and_other_targets_are_refused(day: tuple[ProfileProblem, DayAnswer]) -> None:
    problem, answer = day
    with pytest.raises(ProblemError, match="kubernetes"):
        files_of_day(problem, answer, target="systemd")
    with pytest.raises(ProblemError, match="2 shapes"):
        files_of_day(problem, replace(answer, shapes=answer.shapes * 2))


def test_the_command_writes_folders(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(several_values()))
    with pytest.raises(SystemExit) as left:
        main(["deploy", str(file), "--target", "kubernetes", "--out", str(tmp_path / "out")])
    assert left.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "out" / "router.yaml").exists() and (tmp_path / "out" / "qwen3-8b" / "engines.yaml").exists()
    with pytest.raises(SystemExit) as left:
        main(["deploy", str(file), "--target", "kubernetes", "--tp", "1"])
    assert left.value.code == 2 and "--tp" in capsys.readouterr().err
