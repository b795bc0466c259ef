"""What a command loads before it answers: its own module, the classes of its kind of problem, and no more of the catalog than is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from optimizer.catalog.instances import instance_name
from optimizer.catalog.lookup import names
from optimizer.cli.program import _HOMES, app_of
from optimizer.results import kinds
from tests.conftest import ROOT

EXAMPLE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")
SEEN = """
import json, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from optimizer.cli import main
sys.argv = ["optimizer", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
data = sorted({"/".join(Path(one).parts[-2:]) for one in opened if one.endswith(".yaml")})
print("\\n" + json.dumps({"modules": sorted(sys.modules), "data": data}))
"""


def _loaded(*arguments: str) -> dict[str, Any]:
    """Modules and data files that a command line loads."""
    done = subprocess.run([sys.executable, "-c", SEEN, *arguments], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_check_loads_its_own_kind_of_answer_and_its_own_gpu() -> None:
    seen = _loaded("check", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1")
    results = {
        one.removeprefix("optimizer.results.") for one in seen["modules"] if one.startswith("optimizer.results.")
    }
    assert "answer" in results and "kinds" in results
    assert not results & {
        "chain",
        "inventory",
        "pools",
        "cluster_pools",
        "several",
        "cluster_models",
        "day",
        "cluster_day",
    }
    commands = {f"optimizer.cli.{home}" for home in _HOMES.values()} & set(seen["modules"])
    assert "optimizer.cli.solve" in commands and not commands & {"optimizer.cli.report", "optimizer.cli.sweep"}
    assert not {"pandas", "matplotlib", "jinja2", "scipy"} & set(seen["modules"])
    assert [one for one in seen["data"] if one.startswith(("gpus/", "instances/"))] == ["gpus/h100-sxm-80gb.yaml"]


def test_with_repairs_other_gpus_are_read() -> None:
    seen = _loaded("check", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1", "--repairs")
    assert len([one for one in seen["data"] if one.startswith("gpus/")]) == len(names("gpus"))


@pytest.mark.parametrize("name", names("gpus"))
def test_no_gpu_has_the_name_of_an_instance_type(name: str) -> None:
    """A GPU's name is looked up among the GPUs before the clouds' files are read."""
    assert instance_name(name) is None


@pytest.mark.parametrize("name", _HOMES)
def test_each_command_alone_is_the_command_among_all(name: str) -> None:
    alone, every = app_of(name), app_of()
    commands = [one.name for one in (*alone.registered_commands, *alone.registered_groups)]
    assert commands == [name]
    known = [one.name for one in (*every.registered_commands, *every.registered_groups)]
    assert sorted(known) == sorted(_HOMES)


def test_what_the_user_says_of_threads_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.cli import started

    monkeypatch.setattr("gc.set_threshold", lambda *_: None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("PYDANTIC_DISABLE_PLUGINS", raising=False)
    started.lightly()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3" and os.environ["PYDANTIC_DISABLE_PLUGINS"] == "__all__"
    monkeypatch.delenv("PYDANTIC_DISABLE_PLUGINS")


def test_the_class_of_an_answer_is_known_without_loading_others() -> None:
    from optimizer.results.answer import Answer, CheckAnswer

    assert kinds.name_of(object.__new__(CheckAnswer)) == "CheckAnswer"
    assert kinds.name_of(object.__new__(Answer)) == "Answer"
    with pytest.raises(TypeError, match="not object"):
        kinds.name_of(object())
    defined = {
        line.split("class ")[1].split("(")[0].rstrip(":\n")
        for file in (ROOT / "optimizer" / "results").glob("*.py")
        for line in file.read_text().splitlines()
        if line.startswith("class ") and line.rstrip(":").split("(")[0].endswith("Answer")
    }
    assert defined == set(kinds.NAMES)
