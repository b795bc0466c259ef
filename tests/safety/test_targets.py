"""Hostile text through every target of ``optimizer deploy`` and every engine, by the registries: one that is added is tested with them.

Pools, and joint instances beside pools, are written by the same targets, and by llm-d and Dynamo: each is tested too.

Names reach comments, titles and descriptions; what an engine loads and a container's image reach commands. Neither is ever more than text.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment import ENGINE_NAMES, TARGETS, launch_files
from optimizer.deployment.chosen import Chosen, chosen_of_pools
from optimizer.deployment.options import POOL_TARGETS, resolve_options, with_hosts
from optimizer.deployment.shell import PROGRAMS
from optimizer.deployment.side_by_side import beside_of, side_by_side_files
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.results.place_beside import joint_place, pools_place
from optimizer.results.placement import place_evenly
from optimizer.results.pools import PoolsStrategy, PoolStrategy
from tests.deploy.cases import commands_in, placed
from tests.deploy.pool_cases import answer_of
from tests.safety import hostile
from tests.safety.hostile import MARK, SEEN, UNSEEN

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COMMANDED = (
    "dollar",
    "backticks",
    "semicolon",
    "single quote",
    "double quote",
    "heredoc",
    "percent",
    "backslashes",
    "nginx",
)
"""Text that has told the most: those of a shell, of systemd, of nginx."""
MOST = 190
PATHS = (
    "/models/it's größe",
    "/models/%s %n",
    "/models/{{ x }} *",
    "org/a#b",
    "/models/(a) [b] ?",
    "../x/y",
    "/models/~a!b",
)
"""What an engine may load: strange, and allowed."""


def _problem(engine: str, text: str = "p") -> Problem:
    values = hostile.uniform()
    values |= {"name": text, "engine": engine}
    values["hardware"]["gpu"]["name"], values["model"]["name"] = text, text
    return problem_from_dict(values)


def _files(problem: Problem, target: str, **options: Any) -> dict[str, str]:
    """Files of two instances on two nodes, as ``deploy`` makes them, with the name in the title."""
    strategy = Strategy(1, 1, 2, 1, 8, (10,), "bf16", "bf16")
    placement = place_evenly(problem, strategy)
    resolved = with_hosts(resolve_options(problem.model, problem.engine, target, **options), None, placement.nodes)
    chosen = placed([[problem]], placement, said=f"Not kept: {problem.name}")
    return launch_files(chosen, resolved, f"{problem.name}: TP1")


def _pooled(problem: Problem, target: str, **options: Any) -> dict[str, str]:
    """Files of a prefill and a decode instance."""
    nodes = ["node-0", "node-1"]
    resolved = with_hosts(resolve_options(problem.model, problem.engine, target, **options), None, nodes)
    return launch_files(_pools(problem), resolved, f"{problem.name}: pools")


def _pools(problem: Problem) -> Chosen:
    pool = PoolStrategy(1, 1, 1, 8, "bf16", "bf16", 1)
    chosen = chosen_of_pools(problem, answer_of(problem, PoolsStrategy(pool, pool)))
    return replace(chosen, broken=(f"Not kept: {problem.name}",))


def _both(problem: Problem, target: str, **options: Any) -> dict[str, str]:
    """Files of a joint instance beside these."""
    one, two = (
        problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"nodes": nodes})})
        for nodes in (1, 2)
    )
    joint = placed([[one]], place_evenly(one, Strategy(1, 1, 1, 1, 8, (10,), "bf16", "bf16")), said=problem.name)
    split = BesideSplit(3, 1)
    places = joint_place(problem.hardware, split), pools_place(problem.hardware, split)
    beside = beside_of(problem.name, "both", "a test", (joint, _pools(two)), 3, places)
    resolved = with_hosts(resolve_options(problem.model, problem.engine, target, **options), None, beside.nodes)
    return side_by_side_files(beside, resolved, problem.name)[0]


WRITERS = {
    **{("pools", target): _pooled for target in (*TARGETS, *POOL_TARGETS)},
    **{("joint beside pools", target): _both for target in (*TARGETS, "llm-d")},
}


@pytest.mark.parametrize(("kind", "target"), WRITERS)
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_names_stay_text_with_pools(engine: str, kind: str, target: str) -> None:
    write = WRITERS[kind, target]
    plain = write(_problem(engine), target)
    words = [one["words"] for one in _processes(plain)]
    assert words or target == "dynamo"
    for name in _together(SEEN[name] for name in (SEEN if engine == "vllm" else COMMANDED)):
        files = write(_problem(engine, name), target)
        assert len(files) == len(plain)
        for path, text in files.items():
            _stays(path, text, name, plain)
        assert [one["words"] for one in _processes(files)] == words
    for path in PATHS if engine == "vllm" else PATHS[:2]:
        processes = _processes(write(_problem(engine), target, model_id=path))
        assert all(path in one["words"] for one in processes)
        assert [len(one["words"]) for one in processes] == [len(one) for one in words]


def _processes(files: dict[str, str]) -> list[dict[str, Any]]:
    return [one for path, text in files.items() for one in commands_in({path.rpartition("/")[2]: text})]


@cache
def _plain(engine: str, target: str) -> dict[str, str] | None:
    """Files of a plain name; None where the engine is not launched at all."""
    try:
        return _files(_problem(engine), target)
    except ProblemError as refused:
        assert "is not known for" in str(refused)
        return None


PAIRS = pytest.mark.parametrize(
    ("engine", "target"), [(engine, target) for engine in ENGINE_NAMES for target in TARGETS]
)


def _together(texts: Iterable[str]) -> list[str]:
    """Few names that hold many texts: as long as names may be, the first word of each as it stands."""
    found = [""]
    for text in texts:
        if len(found[-1]) + len(text) > MOST:
            found.append("")
        found[-1] = f"{found[-1]} {text}".strip()
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_run_by_some_engine(target: str) -> None:
    assert any(_plain(engine, target) is not None for engine in ENGINE_NAMES)


@PAIRS
def test_names_stay_text(engine: str, target: str) -> None:
    """Every text for one engine; the most telling ones for the others, which write through the same targets."""
    _stay_text(engine, target, _together(SEEN[name] for name in (SEEN if engine == "vllm" else COMMANDED)))


@pytest.mark.long
@PAIRS
def test_each_name_stays_text(engine: str, target: str) -> None:
    _stay_text(engine, target, list(SEEN.values()))


def _stay_text(engine: str, target: str, texts: list[str]) -> None:
    plain = _plain(engine, target)
    if plain is None:
        return
    words = [one["words"] for one in commands_in(plain)]
    for name in texts:
        files = _files(_problem(engine, name), target)
        assert len(files) == len(plain)
        for file, text in files.items():
            _stays(file, text, name, plain)
        # The commands are those of a plain name.
        assert [one["words"] for one in commands_in(files)] == words


def _stays(path: str, text: str, name: str, plain: dict[str, str]) -> None:
    """Of one file: the programs are the same whatever the name, and the others hold it as text."""
    if path in PROGRAMS:
        assert text == plain[path]
        return
    assert re.fullmatch(r"((joint|pools)/)?[A-Za-z0-9._-]{1,200}", path), path
    _inert(path.rpartition("/")[2], text, name)


def _inert(file: str, text: str, name: str) -> None:
    """Text stands where only text can stand. Names of files and folders are made of its letters alone."""
    lines = text.splitlines()
    told = [word for word in (name, name.replace("$", "$$"), f"touch {MARK}", f"> {MARK}", f"/{MARK}") if len(word) > 6]

    def tells(line: str) -> bool:
        return any(word in line for word in told)

    if file.endswith(".yaml"):
        for document in yaml.load_all(text, Loader=LOADER):
            for scalar in _scalars(document):
                # A ConfigMap holds whole files.
                assert not tells(scalar) or "\n" in scalar, scalar
    elif file.endswith((".sh", ".sbatch", ".conf")):
        assert not [line for line in lines if tells(line) and not line.startswith("# ")]
        assert not [
            line for line in lines if line.startswith("#SBATCH") and not re.fullmatch(r"#SBATCH --[\w@%.,=-]+", line)
        ]
    elif file.endswith(".service"):
        sections = [line for line in lines if line.startswith("[")]
        assert sections == ["[Unit]", "[Service]", "[Install]"]
        assert not [line for line in lines if tells(line) and not line.startswith(("# ", "Description="))]
        (described,) = [line for line in lines if line.startswith("Description=")]
        assert "%" not in described.replace("%%", "") and not described.endswith("\\")
        assert not [line for line in lines if line and not re.match(r"[A-Z][A-Za-z]+=|#|\[", line)]
    else:
        assert file == "README.md"
    assert not [one for one in text if unicodedata.category(one) in ("Cc", "Cf") and one != "\n"]


def _scalars(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [one for pair in value.items() for part in pair for one in _scalars(part)]
    if isinstance(value, list):
        return [one for part in value for one in _scalars(part)]
    return [str(value)]


@PAIRS
def test_what_is_loaded_is_one_word(engine: str, target: str) -> None:
    plain = _plain(engine, target)
    if plain is None:
        return
    problem, count = _problem(engine), len(commands_in(plain)[0]["words"])
    for path in PATHS if engine == "vllm" else PATHS[:2]:
        processes = commands_in(_files(problem, target, model_id=path))
        assert processes
        for process in processes:
            assert path in process["words"] and len(process["words"]) == count, process["words"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [*UNSEEN, "dollar", "backticks", "semicolon", "double quote", "redirect", "flag"])
def test_what_could_be_more_is_refused(name: str, target: str) -> None:
    text = {**SEEN, **UNSEEN}[name]
    problem = _problem("vllm")
    for option in ("model_id", "image"):
        with pytest.raises(ProblemError) as refused:
            resolve_options(problem.model, "vllm", target, **{option: text})
        assert refused.value.field == f"--{option.replace('_', '-')}" and len(str(refused.value)) < 700
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mark", ["@head@", "@rank@", "@folder@"])
def test_our_own_marks_are_no_part_of_a_path(mark: str) -> None:
    with pytest.raises(ProblemError, match="--model-id"):
        resolve_options(_problem("vllm").model, "vllm", "shell", model_id=f"/models/{mark}/x")


def test_scripts_and_units_of_hostile_names_are_read_as_they_are(tmp_path: Path) -> None:
    """By bash, shellcheck and systemd themselves."""
    text = SEEN["single quote"] + SEEN["dollar"] + SEEN["percent"] + SEEN["heredoc"]
    scripts, units = [], []
    for target in TARGETS:
        for file, content in _files(_problem("vllm", text), target).items():
            path = tmp_path / f"{target}-{file}"
            path.write_text(content)
            if file.endswith((".sh", ".sbatch")):
                assert subprocess.run(["bash", "-n", path], capture_output=True).stderr == b""
                scripts.append(path)
            if file.endswith(".service"):
                units.append(path)
    assert scripts and units
    if shutil.which("systemd-analyze"):
        found = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
        assert not [
            line for line in found.stderr.splitlines() if re.search(r"Unknown|Invalid|Failed to parse|ignoring", line)
        ]
