"""Add a serving engine: its profile, flags, kernels, memory and time constants as data, and one module that writes its commands."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, after, new

DATA = "optimizer/engines/data"
PROFILE = """\
title: Example
package: example_serve
images: {nvidia: "example/serve:{version}"}
on_loading: {}
kv_words: {fp8: fp8}
kv_as_weights: auto
kv_offered: --kv has fp8 and auto, the type of the weights
experts_inside_tp: false
experts_across: any
sequences_of: rank
share: whole
carries: {--sequences: max_num_seqs of the answer}
default_max_batch: [{sequences: 512}]
sources: {default_max_batch: where the figure stands}
"""
FLAGS = """\
engine: example
version: 1.0.0
command: example-serve
source: its parser, by scripts/engine_flags.py
costly: {}
environment: {CUDA_VISIBLE_DEVICES: where the variable is described}
choices: {--kv: [auto, fp8]}
flags: [--model, --port, --tp, --sequences, --kv]
server_flags: []
"""
KERNELS = """\
engine: example
version: 1.0.0
gpus: {cuda_from: "8.0"}
gpus_source: where it stands
weights:
  fp16: {cuda_from: "8.0", source: where it stands}
  bf16: {cuda_from: "8.0", source: where it stands}
methods: {}
caches:
  fp16: {cuda_from: "8.0", source: where it stands}
  bf16: {cuda_from: "8.0", source: where it stands}
slices: []
"""
MEMORY = """\
engine: example
gpus:
  - context_mib: {value: 500, low: 250, high: 1000}
    communication_mib: {value: 1500, low: 100, high: 4000}
    non_torch_mib: {value: 500, low: 30, high: 2500}
    cuda_graphs_mib: {value: 1000, low: 100, high: 4000}
    source: logs that it was read from
versions:
  - {from: "0.1", counts: [context, communication, cuda_graphs], sampling_bytes: 16, source: where it stands}
"""
MODULE = '''\
"""Commands of one instance of the example."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.deployment.command import Command
from optimizer.deployment.formats import cache_word, refuse_formats
from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem

PORT_STEP = 1


def commands(problems: Sequence[Problem], launch: Launch, options: Options, port: int) -> tuple[Command, ...]:
    """One command: the example serves one stage on one node."""
    strategy = launch.instance.strategy
    if len(launch.parts) > 1 or strategy.pipeline_parallel > 1:
        raise ProblemError("--pp", f"{options.engine_name} runs one stage on one node; PP 1 would be right")
    refuse_formats(problems, strategy, options)
    arguments = ("example-serve", "--model", options.model_id, "--port", str(port), "--tp", str(strategy.tensor_parallel))
    limits = ("--sequences", str(strategy.max_num_seqs), "--kv", cache_word(problems[0].model, strategy, options))
    return (Command((*arguments, *limits), {}, launch.parts[0].indices, port, True),)
'''
TEST = """
import pytest

from optimizer import problem_from_dict, solve
from optimizer.deployment import TARGETS
from optimizer.deployment.chosen import chosen_of
from optimizer.deployment.files import launch_files
from optimizer.deployment.options import resolve_options


@pytest.mark.parametrize("target", TARGETS)
def test_the_engine_is_solved_for_and_launched(target: str) -> None:
    work = {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1}
    values = {"name": "n", "engine": "example", "model": "llama3.1-8b", "workload": work}
    values |= {"hardware": {"gpu": "h100", "nodes": 1, "gpus_per_node": 2}, "search": {"pipeline_parallel": [1]}}
    problem = problem_from_dict(values)
    answer = solve(problem)
    assert answer.status == "optimal" and answer.verification.passed
    chosen = chosen_of(problem, answer)
    options = resolve_options(problem.model, problem.engine, target)
    files = launch_files(chosen, options, "t")
    assert any("example-serve" in text for text in files.values())
    assert "max_num_seqs of the answer" in files["README.md"]
"""
RECIPE = Recipe(
    "an engine",
    6,
    {
        f"{DATA}/profiles/example.yaml": new(PROFILE),
        f"{DATA}/example-1.0.0.yaml": new(FLAGS),
        f"{DATA}/kernels/example-1.0.0.yaml": new(KERNELS),
        f"{DATA}/memory/example.yaml": new(MEMORY),
        "optimizer/catalog/data/constants.yaml": after(
            "    trtllm: {start_ms: 71, admit_steps: 2}\n", "    example: {start_ms: 70, admit_steps: 2}\n"
        ),
        "optimizer/deployment/engines/example.py": new(MODULE),
    },
    TEST,
    ("tests/deploy/test_trtllm.py::test_every_engine_has_who_writes_its_commands",),
)
