"""Commands of a bench plan: start the engine, load it with vLLM's client, take the results in, and ask again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence

from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer
from optimizer.results.bench_plan import BenchPlan, PlannedRun
from optimizer.writing.quoting import shell_word

REQUESTS_EACH = 10
"""Requests for each in progress."""
FEWEST_REQUESTS = 20
USUAL_PORT = 8000


def bench_commands(problem: Problem, plan: BenchPlan, answers: Mapping[int, Answer], file: str) -> list[str]:
    """Lines for a shell, with comments.

    Args:
        problem: what the plan is for.
        plan: the runs.
        answers: one checked answer a TP degree of the plan, for its launch line.
        file: the problem file, as the person named it.
    """
    lines, tables = list[str](), list[str]()
    if problem.workload.guessed:
        lines += [
            "# Leave what guesses tokens (a draft, multi-token prediction) out of the launch lines: plain steps are measured.",
            "",
        ]
    for tp in dict.fromkeys(run.tensor_parallel for run in plan.runs):
        launched, port = _launch(problem, answers.get(tp))
        lines += [f"# Start one instance at TP {tp}, and wait until it answers:", *launched]
        runs = [(number, run) for number, run in enumerate(plan.runs, 1) if run.tensor_parallel == tp]
        lines += [_load(problem, number, run, port) for number, run in runs]
        table = f"runs-tp{tp}.csv"
        tables.append(table)
        lines += [
            _imported(problem, plan, tp, [f"bench-{number}.json" for number, _ in runs], table),
            "# Stop the instance.",
            "",
        ]
    lines += [
        f"optimizer calibrate {' '.join(tables)} --out my-constants.yaml",
        f"optimizer solve {shell_word(_path(file))} --constants my-constants.yaml",
    ]
    return lines


def _path(file: str) -> str:
    """A file as no command takes it for an option."""
    return f"./{file}" if file.startswith("-") else file


def _launch(problem: Problem, answer: Answer | None) -> tuple[list[str], int]:
    """(commands of one instance, or a comment that says why there is none, and where it answers)."""
    from optimizer.deployment.line import NotLaunchedError, launches_of

    try:
        found = launches_of(problem, answer) if answer is not None else ()
    except NotLaunchedError as error:
        return [f"# Not launched as it is: {' '.join(str(error).split())}"], USUAL_PORT
    if not found:
        return ["# no launch line for this layout"], USUAL_PORT
    line, lines = found[0], list[str]()
    if line.settings_file:
        text = json.dumps(dict(line.settings))
        lines.append(f"printf '%s\\n' {shlex.quote(text)} > {shlex.quote(line.settings_file)}")
    lines.append(line.command)
    if line.further:
        lines.append("# ... and on its other nodes: optimizer deploy writes every command")
    return lines, line.port


def _load(problem: Problem, number: int, run: PlannedRun, port: int) -> str:
    served = problem.model.huggingface_id or problem.model.name
    words: Sequence[object] = (
        "vllm", "bench", "serve", "--backend", "openai", "--base-url", f"http://localhost:{port}", "--model", served,
        "--dataset-name", "random", "--random-input-len", run.prompt_tokens, "--random-output-len", run.output_tokens, "--ignore-eos",
        "--max-concurrency", run.concurrency, "--num-prompts", max(FEWEST_REQUESTS, REQUESTS_EACH * run.concurrency),
        "--save-result", "--result-filename", f"bench-{number}.json",
    )  # fmt: skip
    return " ".join(shlex.quote(str(word)) for word in words)


def _imported(problem: Problem, plan: BenchPlan, tp: int, files: Sequence[str], table: str) -> str:
    strategy = plan.strategy
    words: list[object] = [
        "optimizer", "import", "runs", *files, "--out", table, "--system", problem.hardware.gpu.name, "--model", problem.model.name,
        "--engine", problem.engine, "--precision", strategy.weight_precision, "--tp", tp,
    ]  # fmt: skip
    if strategy.pipeline_parallel > 1:
        words += ["--pp", strategy.pipeline_parallel]
    if strategy.expert_parallel > 1:
        words += ["--ep", strategy.expert_parallel]
    return " ".join(shlex.quote(str(word)) for word in words)
