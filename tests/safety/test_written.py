"""Text in any field and option, in every form that is written: never a command, a directive, markup or a formula.

``SEEN`` text is in every field at once and has to come out as it went in; ``UNSEEN`` text is refused field by field.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.deployment.shell import PROGRAMS
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import visible
from optimizer.reading.chain import chain_from_dict
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.writing.yaml_text import yaml_text
from tests.safety import hostile
from tests.safety.hostile import CHAIN_FIELDS, INVENTORY_FIELDS, MARK, SEEN, UNIFORM_FIELDS, UNSEEN

TOGETHER = {
    "commands": "$(touch {0}) `touch {0}`; touch {0} && touch {0} | touch {0} > {0} '; touch {0} #".format(MARK + "-0"),
    "markup": '</script><script>alert(1)</script> <b>&amp; ]]> # a | b [c](http://d) *g* `h` $x$ [red]a[/x] {{ 7*7 }} "];',
    "formula": SEEN["formula"],
    "flag": SEEN["flag"],
    "path": "../../x/größe",
}
USUAL = {"commands", "markup"}
TEXTS = pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            text, marks=() if name in USUAL and text == TOGETHER[name] else pytest.mark.long, id=f"{name}-{len(text)}"
        )
        for name, text in [*TOGETHER.items(), *SEEN.items()]
    ],
)

KINDS: dict[str, tuple[Callable[..., dict[str, Any]], Callable[[Any], Any], tuple[str, ...]]] = {
    "uniform": (hostile.uniform, problem_from_dict, UNIFORM_FIELDS),
    "inventory": (hostile.inventory, inventory_from_dict, INVENTORY_FIELDS),
    "chain": (hostile.chain, chain_from_dict, CHAIN_FIELDS),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_seen_is_refused_with_its_field(kind: str, name: str) -> None:
    build, load, fields = KINDS[kind]
    for field in fields:
        if field in ("source", "published.method") and name in (
            "newline",
            "return",
            "tab",
            "separator",
            "next line",
            "long",
        ):
            continue  # a remark may be a block text of several lines
        with pytest.raises(ProblemError) as refused:
            load(build(field, UNSEEN[name]))
        last = {"type": "types", "domains": "domains"}.get(field, field.rsplit(".", 1)[-1])
        assert last in refused.value.field, (field, refused.value)
        said = str(refused.value)
        assert len(said) < 600 and visible(said) == said and "\n" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_text_is_a_name(kind: str) -> None:
    build, load, fields = KINDS[kind]
    for field in fields:
        load(build(field, "My service\n"))
    assert load(build("name", "My service\n")).name == "My service"


def _everywhere(kind: str, text: str) -> dict[str, Any]:
    """The text in every field, told apart where names have to be; an engine's model id only where that may hold it."""
    build, _, fields = KINDS[kind]
    values = build()
    for field in fields:
        if field == "domains":
            values["domains"] = {text: {text: [text]}}
        elif field == "type":
            values["cluster"]["types"] = {text: values["cluster"]["types"]["t"]}
            for node in values["cluster"]["nodes"]:
                node["type"] = text
        elif field != "model.huggingface_id":
            hostile._with(values, field, text)
    return values


def _run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    said = capsys.readouterr()
    assert "a defect" not in said.err and "Traceback" not in said.err, said.err
    assert visible(said.out.replace("\n", "")) == said.out.replace("\n", "")
    code = left.value.code
    assert isinstance(code, int)
    return code, said.out, said.err


def _no_marks(folder: Path) -> None:
    made = [path for place in (folder, Path.cwd()) for path in place.glob(f"**/{MARK}*")]
    assert not made


@TEXTS
def test_answers_and_graphs(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("uniform", "inventory"):
        problem = tmp_path / f"{kind}.yaml"
        problem.write_text(yaml_text(_everywhere(kind, text)), encoding="utf-8")
        code, out, _ = _run(capsys, "solve", problem, *([] if kind == "inventory" else ["--no-simulate"]))
        assert code == 0 and " ".join(text.split()) in " ".join(out.split())
        code, out, _ = _run(capsys, "solve", problem, "--json", *([] if kind == "inventory" else ["--no-simulate"]))
        assert code == 0 and json.loads(out)["problem"] == text
        code, out, _ = _run(capsys, "graph", problem, "--format", "json")
        assert (
            text in json.dumps(json.loads(out), ensure_ascii=False) or json.dumps(text, ensure_ascii=False)[1:-1] in out
        )
        code, out, _ = _run(capsys, "graph", problem, "--format", "perfetto")
        json.loads(out)
        code, out, _ = _run(capsys, "graph", problem, "--format", "graphml")
        assert any(text in (element.text or "") for element in ET.fromstring(out).iter())
        code, out, _ = _run(capsys, "graph", problem, "--format", "mermaid")
        for line in out.splitlines():
            assert line.count('"') in (0, 2), line
            assert not re.search(r"[<>`]", "".join(re.findall(r'"(.*)"', line)).replace("<br/>", "")), line
        code, out, _ = _run(capsys, "graph", problem, "--format", "dot")
        _dot(out, text)
    _no_marks(tmp_path)


_DOT_LINE = re.compile(
    r"\s*(digraph S \{|rankdir=LR;|(node|edge) \[.*\];|subgraph S \{|label=S;|\w+ (-> \w+ )?\[.*\];|\})"
)


def _dot(document: str, text: str) -> None:
    """The document has only statements of the forms that we write; strings are whole."""
    string = r'"(?:[^"\\]|\\.)*"'
    for line in document.splitlines():
        bare = re.sub(string, "S", line)
        assert '"' not in bare, line
        assert re.fullmatch(
            r"\s*(digraph S \{|rankdir=LR;|(node|edge) \[.*\];|subgraph S \{|label=S;|\w+ (-> \w+ )?\[.*\];|\})", bare
        ), line
    first = re.match(rf"digraph ({string})", document)
    assert first and json.loads(first[1]).replace("&amp;", "&").startswith(f"{text}: ")


@TEXTS
def test_reports(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(_everywhere("uniform", text)), encoding="utf-8")
    code, _, _ = _run(capsys, "report", problem, "--out", tmp_path / "report")
    assert code == 0
    json.loads((tmp_path / "report" / "report.json").read_text())
    _markdown((tmp_path / "report" / "report.md").read_text(), text)
    page = _Page()
    page.feed((tmp_path / "report" / "report.html").read_text())
    assert not page.scripts and text in "".join(page.said)
    code, _, _ = _run(capsys, "pareto", problem, "--csv", tmp_path / "f.csv", "--plot", tmp_path / "f.svg")
    _csv((tmp_path / "f.csv").read_text())
    # A title as long as this stands on several lines.
    drawn = "".join(ET.fromstring((tmp_path / "f.svg").read_text()).itertext())
    assert "".join(text.split()) in "".join(drawn.split())
    scenarios = tmp_path / "s.yaml"
    scenarios.write_text(
        yaml_text({"cross": {"name": [text, "b"], "workload.requests_per_s": [1, 2]}}), encoding="utf-8"
    )
    out_file = tmp_path / "s.jsonl"
    words = ["--out", out_file, "--csv", tmp_path / "s.csv", "--plot", tmp_path / "s.svg", "--workers", "1"]
    code, _, _ = _run(capsys, "sweep", problem, "--scenarios", scenarios, *words)
    assert code == 0
    _csv((tmp_path / "s.csv").read_text())
    ET.fromstring((tmp_path / "s.svg").read_text())
    for line in out_file.read_text().splitlines():
        json.loads(line)
    _no_marks(tmp_path)


class _Page(HTMLParser):
    """Whether a page runs anything, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed") or any(name.startswith("on") for name, _ in attrs):
            self.scripts.append(tag)

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def _markdown(document: str, text: str) -> None:
    """Headings say the text as it is, and no line of it is markup."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(document)
    inline = [token for token in tokens if token.type == "inline"]
    plain = "".join(child.content for child in inline[0].children or () if child.type in ("text", "text_special"))
    assert text in plain or " ".join(text.split()) in plain
    html = [token.content for token in tokens if token.type == "html_block"]
    html += [child.content for token in inline for child in token.children or () if child.type == "html_inline"]
    assert all(re.fullmatch(r'(<a id="[\w.-]+">|</a>|\s)*', one) for one in html), html
    links = [child.attrs["href"] for token in inline for child in token.children or () if child.type == "link_open"]
    assert all(str(link).startswith("#") for link in links)
    assert not [child for token in inline for child in token.children or () if child.type == "image"]


def _csv(document: str) -> None:
    for row in csv.reader(io.StringIO(document)):
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@")) or re.fullmatch(r"[-+]?[\d.e+-]+", cell), cell


@TEXTS
def test_chains(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(_everywhere("chain", text)), encoding="utf-8")
    code, out, _ = _run(capsys, "solve", problem, "--svg", tmp_path / "c.svg")
    assert code == 0 and text in out
    said = "".join(ET.fromstring((tmp_path / "c.svg").read_text()).itertext())
    assert text in said or text[:20] in said
    code, out, _ = _run(capsys, "solve", problem, "--json")
    assert json.loads(out)["problem"] == text


STUBS = {
    # Of the supervisor, what it would run is run once.
    "python3": 'case "$*" in *--check*) exit 0;; esac; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
    "vllm": 'printf "%s\\0" "$@" >> "$NOTES"; exit 0',
    "ray": "exit 0",
    "nginx": "exit 0",
    "sleep": "exit 0",
}


def _start(folder: Path) -> list[str]:
    """Runs every script with stubs in PATH, each process once; the words that vllm was called with."""
    programs = folder / "programs"
    programs.mkdir()
    for name, body in STUBS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    notes = folder / "notes"
    notes.touch()
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(notes)}
    for script in sorted(folder.rglob("start-*.sh")):
        assert subprocess.run(["bash", "-n", script]).returncode == 0
        with (folder / "said").open("w") as said:
            subprocess.run(["bash", script], env=environment, cwd=folder, stdout=said, stderr=said, timeout=60)
        assert "command not found" not in (folder / "said").read_text()
    return notes.read_text().split("\0")


@TEXTS
@pytest.mark.parametrize("kind", ["uniform", "inventory"])
def test_launch_files(kind: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(_everywhere(kind, text)), encoding="utf-8")
    model_id = "/models/größe mit raum"
    targets = ("shell", "ray", "kubernetes", "compose") if kind == "uniform" else ("shell", "compose")
    for target in targets:
        folder = tmp_path / target
        words = ["deploy", problem, "--target", target, "--model-id", model_id, "--out", folder]
        code, _, err = _run(capsys, *words)
        if code == 2 and kind == "inventory":
            assert "--hosts: is needed" in err and not folder.exists()
            code, _, err = _run(capsys, *words, "--hosts", "alpha,beta")
        assert code == 0, err
        for path in folder.rglob("*"):
            _launch_file(path, text, model_id)
    assert [
        path for path in tmp_path.iterdir() if path.name not in ("p.yaml", "shell", "ray", "kubernetes", "compose")
    ] == []
    assert model_id in _start(tmp_path / "shell")
    _no_marks(tmp_path)


def _launch_file(path: Path, text: str, model_id: str) -> None:
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        found = json.dumps(list(yaml.safe_load_all(content)), ensure_ascii=False)
        assert "engine" not in found or model_id in found or "router" in path.name
    elif path.suffix == ".conf":
        _nginx(path)
    elif path.name == "README.md":
        _markdown(content, text)
        for line in re.findall(r"^(?:bash|docker|kubectl) .*$", content, re.M):
            shlex.split(line, comments=True)
    else:
        assert path.suffix == ".sh" or path.name in PROGRAMS
        for line in content.splitlines():
            assert MARK not in line or line.startswith("# "), line


def _nginx(path: Path) -> None:
    import crossplane

    parsed = crossplane.parse(str(path), single=True)
    assert parsed["status"] == "ok", parsed["errors"]
    top = [one["directive"] for one in parsed["config"][0]["parsed"]]
    assert top == ["worker_processes", "error_log", "pid", "worker_shutdown_timeout", "events", "http"]


NAMES = [pytest.param(one, marks=() if one in ("dollar", "newline") else pytest.mark.long) for one in (*SEEN, *UNSEEN)]
OPTIONS = (
    "--model-id",
    "--hosts",
    "--image",
    "--namespace",
    "--engine-version",
    "--checkpoint-format",
    "--target",
    "--engine",
)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=() if one in ("dollar", "newline") else pytest.mark.long) for one in (*SEEN, *UNSEEN)],
)
def test_options_of_deploy(option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each option either takes the text as it is and quotes it, or is named in the refusal."""
    text = {**SEEN, **UNSEEN}[name].encode("utf-8", "replace").decode()
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(hostile.uniform()), encoding="utf-8")
    target = {"--image": "compose", "--namespace": "kubernetes"}.get(option, "shell")
    out = tmp_path / "out"
    code, _, err = _run(capsys, "deploy", problem, "--target", target, f"{option}={text}", "--out", out)
    if code == 2:
        assert option in err and len(err) < 700 and not out.exists()
        return
    assert code == 0 and option in ("--model-id", "--hosts", "--image", "--namespace"), err
    for path in out.iterdir():
        assert MARK not in path.read_text() or option == "--model-id"
        if path.suffix == ".yaml":
            list(yaml.safe_load_all(path.read_text()))
    if option == "--model-id":
        assert text.strip() in _start(out)
    _no_marks(tmp_path)


def test_an_applied_repair_keeps_every_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = _everywhere("uniform", TOGETHER["commands"])
    values["requirements"]["tpot_p99_ms"] = 0.5
    problem = tmp_path / "p.yaml"
    problem.write_text(yaml_text(values), encoding="utf-8")
    code, _, err = _run(capsys, "solve", problem, "--apply-repair", "1", "--out", tmp_path / "q.yaml")
    assert code == 1, err
    assert yaml.safe_load((tmp_path / "q.yaml").read_text())["name"] == TOGETHER["commands"]
    assert _run(capsys, "solve", tmp_path / "q.yaml", "--no-simulate")[0] == 0
