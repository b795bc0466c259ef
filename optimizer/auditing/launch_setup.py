"""Judges what a launch command names beside its flags: the model, and the Ray cluster it joins."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.reading import Statement
from optimizer.auditing.shell import ShellCommand
from optimizer.results.audit import Claim


def judge_model_name(statement: Statement, command: ShellCommand, context: Context) -> Iterator[Claim]:
    """The model's name on a hub, where the facts know it by another one."""
    model, stated = context.problem.model, command.model
    if "/" not in stated or stated.startswith((".", "/", "~", "$")) or not model.huggingface_id:
        return
    if stated.lower() == model.huggingface_id.lower():
        yield Claim(
            statement.line,
            stated,
            "confirmed",
            f"It is the published name of {model.name}.",
            stated,
            model.huggingface_id,
        )
        return
    sizes = [float(n) * 1e9 for n in re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)B\b", stated, re.IGNORECASE)]
    if sizes and all(
        abs(size - one) > 0.1 * one for size in sizes for one in (model.parameters, model.active_parameters)
    ):
        yield Claim(
            statement.line,
            stated,
            "refuted",
            f"The problem is about {model.name}, {model.parameters / 1e9:.1f} billion parameters.",
            stated,
            model.huggingface_id,
        )
    elif stated.split("/")[0].lower() == model.huggingface_id.split("/")[0].lower() and not re.search(
        r"fp8|awq|gptq|int[48]|nvfp4|instruct",
        stated.lower().replace("instruct", "" if "instruct" in model.huggingface_id.lower() else "instruct"),
    ):
        yield Claim(
            statement.line,
            stated,
            "unsupported",
            f"The facts know this model as {model.huggingface_id}; that this name exists does not follow.",
            stated,
            model.huggingface_id,
        )


def judge_ray(statement: Statement, command: ShellCommand, context: Context) -> Iterator[Claim]:
    """A Ray command that joins a further node where there is one node only."""
    hardware = context.problem.hardware
    if command.line != statement.line or hardware.nodes > 1:
        return
    if any(flag.name == "--address" for flag in command.flags):
        count = next((flag.value for flag in command.flags if flag.name == "--num-gpus" and flag.value.isdigit()), "")
        joins = f" with {count} GPUs" if count else ""
        yield Claim(
            statement.line,
            statement.text,
            "contradicted",
            f"It joins a second node{joins} to the cluster; the "
            f"deployment is one node of "
            f"{hardware.gpus_per_node} GPUs, "
            "where the engine needs no Ray.",
            f"--num-gpus={count}" if count else "--address",
            "one node",
        )
