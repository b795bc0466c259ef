"""Files are read as they are written: keys once, YAML 1.2 scalars, bounded, and messages that repeat little of them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import visible
from optimizer.reading.documents import MOST_ENTRIES
from optimizer.reading.files import read_mapping
from optimizer.reading.load import load_problem, problem_from_dict
from optimizer.sweeps.scenarios import scenarios_from_dict
from optimizer.writing.yaml_text import yaml_text
from tests.conftest import ROOT, changed

EXAMPLE = (ROOT / "problems" / "llama3-70b-8xh100.yaml").read_text()
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{this}: &{this} [{','.join([f'*{last}'] * 10)}]\n" for last, this in zip("abcdefghi", "bcdefghij", strict=True)
)


def _refused(folder: Path, text: str, name: str = "p.yaml") -> str:
    (folder / name).write_text(text)
    with pytest.raises(ProblemError) as error:
        load_problem(folder / name)
    return str(error.value)


@pytest.mark.parametrize(
    ("stated", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("0o17", 15),
        ("0x1F", 31),
        ("yes", "yes"),
        ("on", "on"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-02", "2026-01-02"),
        ("true", True),
        ("~", None),
        ("", None),
        ("null", None),
        ("'10'", "10"),
        ('"~"', "~"),
        ("=", "="),
        ("-", [None]),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path: Path, stated: str, value: Any) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {stated}\n" if stated != "-" else "a:\n  -\n")
    found = read_mapping(tmp_path / "a.yaml", "a")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ("yes", "'yes' is not a number; yes is a word, not a number"),
        ("010", "'010' is not a number; a number has no leading zeros: write 10, or 0o10 = 8 for an octal number"),
        ("1:30", "'1:30' is not a number; minutes and seconds are written as one number, such as 90"),
        ('"10"', "'10' is not a number; write 10 without quotes"),
        ("1_000", "'1_000' is not a number; write 1000"),
        ("10/s", "'10/s' is not a number; write the number alone, without its unit: 10"),
        ("true", "True is not a number; a number is needed, and YAML's true is none"),
        (".nan", "nan is not a finite number"),
        ("1e400", "inf is not a finite number"),
        ("[8]", "[8] is not a number"),
    ],
)
def test_a_number_is_a_number(tmp_path: Path, stated: str, said: str) -> None:
    text = EXAMPLE.replace("requests_per_s: 8", f"requests_per_s: {stated}")
    assert text != EXAMPLE
    message = _refused(tmp_path, text)
    line = 1 + text.splitlines().index(next(one for one in text.splitlines() if "requests_per_s" in one))
    assert message == f"workload.requests_per_s: {said} (line {line})"


def test_quoted_counts_are_refused(example: dict[str, Any]) -> None:
    for field in ("hardware__nodes", "workload__prompt_tokens", "requirements__max_batch"):
        with pytest.raises(ProblemError, match="write 8 without quotes"):
            problem_from_dict(changed(example, **{field: "8"}))


@pytest.mark.parametrize("name", ["p.yaml", "p.json"])
def test_a_key_stands_once(tmp_path: Path, name: str) -> None:
    yaml = name.endswith("yaml")
    twice = EXAMPLE + "requirements: {ttft_p99_ms: 1}\n" if yaml else '{"model": "a", "workload": {"x": 1, "x": 2}}'
    said = _refused(tmp_path, twice, name)
    assert ("'requirements' twice, on lines " if yaml else "'x' twice in one mapping") in said
    assert "the second would replace the first" in said


def test_integer_and_text_keys_are_one_key(tmp_path: Path) -> None:
    assert "'1' twice" in _refused(tmp_path, "a: {1: 2, '1': 3}\n").replace('"', "'")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object:os.system x\n", "tags have no meaning here"),
        ("a: !!int '3'\n", "tags have no meaning here"),
        ("a: &a {b: *a}\n", "stands inside what it names"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "merge key"),
        ("? [1, 2]\n: 3\n", "no word or number"),
        ("yes: &x 1\n*x : 2\n--- \nb: 3\n", "not valid YAML"),
        (BOMB + "model: *j\n", f"more than {MOST_ENTRIES:,} values"),
        ("[" * 5000, "nesting depth"),
        ("- " * 100_000 + "x", "nesting depth"),
        ("a: " + "9" * 5000 + "\nb: 1", "is missing"),
    ],
)
def test_what_yaml_could_do_beyond_plain_data_is_refused(tmp_path: Path, text: str, said: str) -> None:
    message = _refused(tmp_path, text)
    assert said in message
    assert len(message) < 400


def test_an_alias_may_repeat_a_value(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("a: &a [1, {b: 2}]\nc: *a\n")
    assert read_mapping(tmp_path / "p.yaml", "p") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


def _limited(*words: str, seconds: float = 2.0) -> subprocess.CompletedProcess[str]:
    """The command in 300 MB beyond what the interpreter needs, which must answer in a few seconds of processor time."""
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", "from optimizer.cli import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20)),
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert used.ru_utime + used.ru_stime - start.ru_utime - start.ru_stime < seconds
    return done


def test_large_and_endless_input_is_refused_fast_and_small(tmp_path: Path) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(EXAMPLE)
    (tmp_path / "bomb.yaml").write_text(BOMB + "model: *j\n")
    (tmp_path / "list.yaml").write_text("model: [" + ",".join(["1"] * 5_000_000) + "]\n")
    (tmp_path / "list.json").write_text('{"model": [' + ",".join(["[]"] * 5_000_000) + "]}")
    (tmp_path / "zeros.yaml").write_text(EXAMPLE.replace("model: llama3-70b", "model: /dev/zero"))
    os.mkfifo(tmp_path / "pipe.yaml")
    os.mkfifo(tmp_path / "pipe.csv")
    for words in (
        ["solve", "bomb.yaml"],
        ["solve", "list.yaml"],
        ["solve", "list.json"],
        ["solve", "pipe.yaml"],
        ["solve", "/dev/zero"],
        ["solve", "zeros.yaml"],
        ["solve", "p.yaml", "--trace", "/dev/zero"],
        ["solve", "p.yaml", "--trace", "pipe.csv"],
        ["solve", "p.yaml", "--costs", "table", "--table", "pipe.csv"],
        ["sweep", "p.yaml", "--scenarios", "bomb.yaml"],
        ["recommend", "p.yaml", "--prices", "pipe.yaml"],
        ["deploy", "/dev/zero"],
        ["import", "helix", "list.json", "--out", "x.yaml"],
    ):
        done = _limited(*[str(tmp_path / word) if "." in word and word[0] not in "-/" else word for word in words])
        assert done.returncode == 2, (words, done.stderr)
        assert done.stderr.startswith("error: "), words
        assert len(done.stderr) < 600


@pytest.mark.parametrize(
    "model", ["~nosuchuser/x", "x" * 5000, "a/\0b", "/" + "d" * 300 + "/config.json", ".", "../nowhere/x"]
)
def test_a_model_that_is_no_model(example: dict[str, Any], model: str) -> None:
    with pytest.raises(ProblemError) as error:
        problem_from_dict(changed(example, model=model))
    assert error.value.field.startswith("model")
    assert len(str(error.value)) < 1200 and "x" * 200 not in str(error.value)


def test_messages_repeat_little_and_show_everything(example: dict[str, Any]) -> None:
    long = ("ab\x1b[31m\u202e " * 2000)[:10_000]
    seen = visible(long)
    for field in (
        "name",
        "engine",
        "hardware__gpu",
        "model",
        "objective",
        long,
        f"workload__{long}",
        "search__disabled_rules",
    ):
        for value in (long, [long] * 3, {long: long}):
            if field == "search__disabled_rules" and isinstance(value, list):
                continue
            with pytest.raises(ProblemError) as error:
                problem_from_dict(changed(example, **{field: value}))
            said = str(error.value)
            assert visible(said) == said
            assert len(said) < 1000
            assert all(seen[at : at + 200] not in said for at in range(0, 9_000, 50))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hardware__failures": {"gpu_mtbf_hour": 3}}, "did you mean gpu_mtbf_hours"),
        ({"requirements__survive": {"nodes": 1}}, "did you mean node"),
        ({"search__tensor_paralel": [1]}, "did you mean tensor_parallel"),
        ({"survive": {"node": 1}}, "requirements.survive is: state it there"),
        ({"tpot_p99_ms": 60}, "requirements.tpot_p99_ms is: state it there"),
        ({"requirements__requests_per_s": 2}, "workload.requests_per_s is: state it there"),
        ({"workload__prompt_token": 1}, "did you mean prompt_tokens"),
        ({"objective": {"unserved": 1}}, "unserved_weight"),
        ({"objective": {"gpus_ms": 1}}, "did you mean gpu_ms"),
        ({"ttft_p99_ms": 1}, "requirements.ttft_p99_ms is: state it there"),
        ({"qqqqq": 1}, "known: engine, engine_overhead"),
    ],
)
def test_unknown_keys_name_the_closest_of_their_section(
    example: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProblemError, match=said):
        problem_from_dict(changed(example, **change))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = {
        "words": [
            "yes",
            "010",
            "1:30",
            "1e3",
            "0o17",
            "~",
            "null",
            "true",
            "<<",
            "=",
            "-",
            ".inf",
            "1_000",
            "2026-01-02",
            "",
        ],
        "text": [
            "a: b",
            "# c",
            "x\ny\n",
            "ä €",
            "'\"\\",
            " spaced ",
            "*a",
            "!t",
            "@x",
            "`y`",
            "%z",
            "\t",
            "\x85",
            "\u2028",
        ],
        "numbers": [1, -2, 1.5, 1e300, 1e-9, 0.0],
        "10": {"nested": [], "empty": {}},
    }
    (tmp_path / "a.yaml").write_text(yaml_text(values, title="one\ntwo: \x1b"))
    assert read_mapping(tmp_path / "a.yaml", "a") == values
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(values))
    assert read_mapping(tmp_path / "a.json", "a") == values


def test_reading_stays_fast(tmp_path: Path) -> None:
    """At most about twice what PyYAML itself takes, with the same parser in C."""
    import yaml

    file = tmp_path / "p.yaml"
    file.write_text(
        "cluster:\n" + "".join(f"- {{name: g{i}, gpu: h100-sxm-80gb, nodes: 4, zone: z{i % 7}}}\n" for i in range(1000))
    )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    ours, theirs = [], []
    for _ in range(5):
        start = time.process_time()
        read_mapping(file, "p")
        middle = time.process_time()
        yaml.load(file.read_text(), Loader=loader)
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    assert min(ours) < 2 * min(theirs) + 0.005


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("workload.request_per_s", "did you mean requests_per_s"),
        ("hardware.gpus_per_nod", "did you mean gpus_per_node"),
        ("requirements.max_bach", "did you mean max_batch"),
        ("cluster.a.node", "did you mean nodes"),
    ],
)
def test_a_scenario_names_the_closest_field_of_its_section(field: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        scenarios_from_dict({"cross": {field: [1, 2]}})


@pytest.mark.parametrize(
    "field", ["workload.requests_per_s", "requirements.survive.node", "cluster.a.nodes", "model", "hardware.gpu"]
)
def test_fields_that_exist_may_vary(field: str) -> None:
    assert len(scenarios_from_dict({"cross": {field: [1, 2]}}).changes) == 2


@pytest.mark.parametrize("name", ["p.yaml", "p.json"])
def test_half_of_a_character_is_refused(name: str, tmp_path: Path) -> None:
    """From the fuzzer: an escape makes a text that no file can be searched for or written with."""
    path = tmp_path / name
    path.write_text('{"model": "\\ud800", "hardware": {"gpu": "l4-24gb"}}', encoding="utf-8")
    with pytest.raises(ProblemError, match=r"half of a character|invalid Unicode character"):
        read_mapping(path, "p")
    path.write_text('{"name": "\\ud83d\\ude00"}', encoding="utf-8")
    if name.endswith("json"):
        assert read_mapping(path, "p") == {"name": "\U0001f600"}
