"""Judges what a report says about the machines: counts, memory, processors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, before, judged
from optimizer.auditing.link_facts import judge_links
from optimizer.auditing.reading import Statement
from optimizer.auditing.result import Claim
from optimizer.auditing.units import gb

NOMINAL = 0.10
"""Devices offer a little more or less than the name of the product says."""


def judge_hardware(statement: Statement, context: Context) -> Iterator[Claim]:
    """Facts of the machines: counts exact, memory to the nominal size, links as vendors print them."""
    if statement.line in context.command_lines or context.about_other(statement):
        return
    text, hardware = statement.text, context.problem.hardware
    yield from _counts(statement, context)
    memory = hardware.gpu.memory_bytes
    each = before(text, r"(?:(?:of )?(?:VRAM|HBM\d?e?|memory|GPU memory) )?each\b", "bytes") or after(
        text, r"\b(?:VRAM|HBM\d?e?) per GPU\b|\bGPU (?:memory|VRAM) capacity\b", "bytes"
    )
    if each and not re.search(r"stage|weight|stor(?:e|es|ing)", text, re.IGNORECASE):
        gives = f"{hardware.gpu.name} gives a process {hardware.gpu.process_mib:,} MiB ({gb(memory)}, {memory / 2**30:.1f} GiB) per GPU"
        right = each.amount.near(memory, NOMINAL)
        # "17.6 GB each" may be what a GPU holds and not what it has, or be about something else.
        device = rf"VRAM|HBM|GPU memory|\d ?[xX×] ?(?:NVIDIA |AMD )?{hardware.gpu.name.split('-')[0]}"
        about_use = r"model|param|FP\d|BF16|needs?\b|holds?\b|get|us(?:e|ed|es|age)\b|takes?\b|cache|graph|buffer"
        if right or (re.search(device, text, re.IGNORECASE) and not re.search(about_use, text, re.IGNORECASE)):
            yield judged(statement, each.amount, right, gb(memory), gives)
    total = after(
        text,
        r"\b(?:total|aggregate|combined|cluster) (?:GPU )?(?:VRAM|HBM\d?e?"
        r"|GPU memory)(?: capacity)?\b|\b(?:total|aggregate) GPU memory\b",
        "bytes",
    )
    if total:
        everything = memory * hardware.gpus
        how = f"{hardware.gpus} GPUs of {memory / 2**30:.1f} GiB offer {everything / 2**30:,.0f} GiB ({gb(everything)})"
        yield judged(statement, total.amount, total.amount.near(everything, NOMINAL), gb(everything), how)
    if hardware.host_memory_gb:
        ram = after(text, r"\b(?:system|host|node|CPU) (?:memory|RAM)\b", "bytes")
        if ram:
            value = hardware.host_memory_gb * 1e9
            yield judged(
                statement,
                ram.amount,
                ram.amount.near(value, 0.03) or ram.amount.near(value * hardware.nodes, 0.03),
                gb(value),
                f"the problem states {hardware.host_memory_gb:,.0f} GB of host memory",
            )
    if hardware.cpu_cores:
        cores = after(text, r"\bCPU cores?\b", "") or before(text, r"CPU cores\b")
        if cores:
            right = cores.amount.value in (hardware.cpu_cores, hardware.cpu_cores * hardware.nodes)
            yield judged(
                statement,
                cores.amount,
                right,
                f"{hardware.cpu_cores}",
                f"the problem states {hardware.cpu_cores} CPU cores",
            )
    yield from judge_links(statement, context)


def _counts(statement: Statement, context: Context) -> Iterator[Claim]:
    hardware, text = context.problem.hardware, statement.text
    if re.search(r"\bspare\b|\bidle\b|\bunused\b|\bfree\b|\bremaining\b", text, re.IGNORECASE):
        return
    nodes = after(text, r"\b(?:number of |total )nodes\b|^nodes\b", "")
    if nodes and nodes.amount.unit == "":
        yield judged(
            statement,
            nodes.amount,
            nodes.amount.value == hardware.nodes,
            f"{hardware.nodes}",
            f"the problem states {hardware.nodes} node{'s' if hardware.nodes > 1 else ''}",
        )
    per_node = after(text, r"\bGPUs per node\b", "") or before(text, r"GPUs per node\b")
    if per_node and per_node.amount.unit == "":
        yield judged(
            statement,
            per_node.amount,
            per_node.amount.value == hardware.gpus_per_node,
            f"{hardware.gpus_per_node}",
            f"a node has {hardware.gpus_per_node} GPUs",
        )
        return
    found = after(
        text,
        r"\b(?:total|available|number of|installed) GPUs\b(?! (?:required|needed"
        r"|used|in use))|^available GPUs\b|\bGPU count\b|\bGPUs available\b",
        "",
    )
    if found is None and re.search(r"\bGPUs available\b", text):
        found = before(text, r"GPUs available\b")
    if found is None:
        family = hardware.gpu.name.split("-")[0]
        of_type = re.search(
            rf"(?<![\w.,×])(\d{{1,5}})\s?[xX×]\s?(?:NVIDIA |AMD )?{family}\b"
            rf"|(?<![\w.,])(\d{{1,5}}) (?:NVIDIA |AMD )?{family}s?\b(?! GPUs? per)",
            text,
            re.IGNORECASE,
        )
        if of_type and not re.search(
            r"\bper (?:node|replica|stage)|\beach (?:node|replica|server)|\bnodes? (?:of|with)|\breplica"
            r"|\bneed|\brequire|\bat least\b|\bminimum\b|\bfits?\b|\benough\b|\bsuffic",
            text,
            re.IGNORECASE,
        ):
            found = before(text, rf"[xX×]?\s?(?:NVIDIA |AMD )?{family}")
    if found and found.amount.unit == "" and not found.derived:
        accepted = (hardware.gpus,)
        if (
            not re.search(r"\btotal\b", text, re.IGNORECASE)
            and context.strategy
            and found.amount.value == context.strategy.gpus < hardware.gpus
        ):
            return
        yield judged(
            statement,
            found.amount,
            found.amount.value in accepted,
            f"{hardware.gpus}",
            f"there are {hardware.gpus} GPUs ({hardware.nodes} × {hardware.gpus_per_node})",
        )
