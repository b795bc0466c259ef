"""Judges what a report says about the model and the machines: layers, heads, sizes, counts, links."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.explain.audit.context import Context
from optimizer.explain.audit.labels import after, before, claim, judged
from optimizer.explain.audit.reading import Statement
from optimizer.explain.audit.result import Claim
from optimizer.explain.audit.units import Amount, gb, plain_number

NOMINAL = 0.10
"""Devices offer a little more or less than the name of the product says."""
CLOSE = 0.03
_PART = re.compile(
    r"\bTP group|\bgroups? of|\bof \d+ GPUs\b"
    r"|\b(?:per|each|every|on|in|for) (?:pipeline )?(?:stage|GPU|rank|device|node|replica|shard|head|token|layer)"
    r"|\bstage \d"
    r"|\bfirst\b|\blast\b|\bTP rank|\bper-(?:GPU|stage|rank)|\bshard",
    re.IGNORECASE,
)


def judge_model(statement: Statement, context: Context) -> Iterator[Claim]:
    """Facts of the model: counts exact, sizes to about 3 %."""
    if (statement.kind == "code" and statement.line in context.command_lines) or context.about_other(statement):
        return
    text, model = statement.text, context.problem.model
    whole = not _PART.search(text)
    exact: list[tuple[str, str, str, int, bool]] = [
        (
            r"\b(?:total|number of|num)[ _](?:transformer |decoder |hidden |model )?layers\b|^layers\b(?! per)|\bhas (?=\d+ layers\b)",
            r"(?:transformer |decoder |hidden )layers\b",
            "layers",
            model.layers,
            whole,
        ),
        (
            r"\bhidden[ _](?:size|dimensions?|dim)\b" r"|\bd_model\b|\bmodel dimension\b",
            r"hidden (?:size|dimensions?)\b",
            "hidden size",
            model.hidden_size,
            True,
        ),
        (
            r"(?<!KV )\b(?:attention|query|q)[ _]heads\b",
            r"(?:attention|query) heads\b",
            "attention heads",
            model.attention_heads,
            whole,
        ),
        (
            r"\b(?:KV|key[-/ ]?value)[ _]heads\b",
            r"(?:KV|key[-/ ]?value) heads\b",
            "KV heads",
            model.kv_heads,
            whole and not model.mla,
        ),
        (
            r"\b(?:routed |total |number of )experts\b",
            r"routed experts\b",
            "routed experts",
            model.experts,
            whole and model.experts > 0,
        ),
    ]
    for label, noun, name, value, usable in exact:
        found = (after(text, label, "") or before(text, noun)) if usable else None
        if found and not found.derived and found.amount.unit == "":
            yield judged(
                statement,
                found.amount,
                found.amount.value == value,
                f"{value:,}",
                f"{model.name} has {value:,} {name}"
                if name != "hidden size"
                else f"the {name} of {model.name} is {value:,}",
            )
    vocabulary = after(text, r"\bvocab(?:ulary)?(?:[ _]size)?\b", "")
    if vocabulary:
        right = vocabulary.amount.near(model.vocabulary, 0.01 if vocabulary.amount.unit else 0.0)
        yield judged(
            statement,
            vocabulary.amount,
            right,
            f"{model.vocabulary:,}",
            f"the vocabulary of {model.name} has {model.vocabulary:,} tokens",
        )
    yield from _context_length(statement, context)
    yield from _parameters(statement, context)
    yield from _weights(statement, context)


def _context_length(statement: Statement, context: Context) -> Iterator[Claim]:
    model, wanted = context.problem.model, context.problem.max_sequence_tokens
    found = after(
        statement.text, r"\b(?:max(?:imum)?[ _])?(?:sequence|context)[ _](?:length|window|size)\b(?: in use)?", ""
    )
    if not found or (statement.kind == "code" and not found):
        return
    amount = found.amount
    loose = 0.03 if amount.unit else 0.0
    allowed = {wanted, model.max_context_tokens}
    if any(amount.near(value, loose) for value in allowed):
        yield claim(
            statement,
            "confirmed",
            f"{model.name} was made for up to {model.max_context_tokens:,} tokens; {wanted:,} are to be served.",
            amount.text,
            f"{wanted:,} tokens",
        )
    elif amount.value * (1 - loose) > model.max_context_tokens:
        yield judged(
            statement,
            amount,
            False,
            f"{model.max_context_tokens:,} tokens",
            f"{model.name} was made for at most {model.max_context_tokens:,} tokens",
        )
    elif (
        re.search(r"max", statement.text, re.IGNORECASE) and amount.value * (1 + loose) < wanted and amount.value >= 128
    ):
        yield judged(
            statement, amount, False, f"{wanted:,} tokens", f"sequences of up to {wanted:,} tokens are to be served"
        )


def _parameters(statement: Statement, context: Context) -> Iterator[Claim]:
    model, text = context.problem.model, statement.text
    if re.search(
        r"\bper[- ]param|bytes\b.*\bparam|\bparameters? per\b|\bper (?:GPU|stage|layer|rank|expert)|\beach (?:GPU|stage|layer|expert)",
        text,
        re.IGNORECASE,
    ) and not re.search(r"^\W*(?:total|model)? ?param\w* ?(?:count)?\s?:", text, re.IGNORECASE):
        return
    if re.search(
        r"assessment|command|validat|layers?\b|expert|heads?\b|embedding|\badds?\b|shared|\bextra\b",
        text,
        re.IGNORECASE,
    ):
        return
    found = after(text, r"\b(?:total |model )?param(?:eter)?s?(?: count)?\b", "") or before(text, r"param(?:eter)?s?\b")
    if not found or found.derived or found.amount.value < 1e8:
        return
    active = bool(re.search(r"\bactiv", text, re.IGNORECASE))
    value = model.active_parameters if active else model.parameters
    right = (
        found.amount.near(value, CLOSE)
        or (active and found.amount.near(model.parameters, CLOSE))
        or (model.experts > 0 and found.amount.near(model.active_parameters, 0.1))
    )
    word = "active parameters" if active else "parameters"
    yield judged(
        statement,
        found.amount,
        right,
        f"{value / 1e9:.2f} billion",
        f"{model.name} has {value / 1e9:.2f} billion {word}",
    )


def _weights(statement: Statement, context: Context) -> Iterator[Claim]:
    """Bytes per parameter, and the size of all weights."""
    text, model = statement.text, context.problem.model
    each = re.search(
        r"\b(FP16|BF16|FP8|INT8)\b[^.;]{0,25}?\b(\d)\s?bytes?\b(?:\s?(?:per|/)\s?(?:param\w*|weight))?",
        text,
        re.IGNORECASE,
    )
    if each and "KV" not in text and not re.search(r"[×÷*]", text):
        size = {"fp16": 2, "bf16": 2, "fp8": 1, "int8": 1}[each[1].lower()]
        right = int(each[2]) == size
        yield claim(
            statement,
            "confirmed" if right else "refuted",
            f"{each[1]} takes {size} byte{'s' if size > 1 else ''} per parameter.",
            f"{each[2]} bytes",
            f"{size} bytes",
        )
    if _PART.search(text) or re.search(r"KV|cache|activation|overhead|utili[sz]ation|\+", text):
        return
    label = (
        r"\b(?:estimated |total )*(?:model )?weights?(?: (?:memory|size|footprint|total))?\b(?! per)"
        r"|\b(?:total )?model (?:memory|size|footprint)(?: footprint)?\b(?! per)|\bmemory for weights\b"
    )
    found = after(text, label, "bytes") or before(text, r"(?:of )?(?:FP16 |BF16 |FP8 |model )*weights\b", "bytes")
    if not found or re.search(
        rf"{re.escape(found.amount.text)}\s?(?:per|/)\s?(?:param|weight|value)", text, re.IGNORECASE
    ):
        return
    sizes = [context.weight_bytes(name) for name in context.formats]
    right = found.amount.near_any(sizes, CLOSE)
    parts = sizes[0] / (context.strategy.tp * context.strategy.pp) if context.strategy else sizes[0]
    if not right and found.amount.near(parts, 0.06):
        return
    how = f"{model.parameters / 1e9:.2f} billion parameters × {sizes[0] / model.parameters:.3g} bytes = {gb(sizes[0])}"
    if right:
        how += " (nominal parameter counts round it)" if not found.amount.near_any(sizes, 0.002) else ""
    yield judged(statement, found.amount, right, gb(sizes[0]), how)


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
        offers = f"{hardware.gpu.name} offers {hardware.gpu.memory_mib:,} MiB ({gb(memory)}, {memory / 2**30:.1f} GiB) per GPU"
        right = each.amount.near(memory, NOMINAL)
        # "17.6 GB each" may be what a GPU holds and not what it has, or be about something else.
        device = rf"VRAM|HBM|GPU memory|\d ?[xX×] ?(?:NVIDIA |AMD )?{hardware.gpu.name.split('-')[0]}"
        about_use = r"model|param|FP\d|BF16|needs?\b|holds?\b|get|us(?:e|ed|es|age)\b|takes?\b|cache|graph|buffer"
        if right or (re.search(device, text, re.IGNORECASE) and not re.search(about_use, text, re.IGNORECASE)):
            yield judged(statement, each.amount, right, gb(memory), offers)
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
    yield from _links(statement, context)


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


def _links(statement: Statement, context: Context) -> Iterator[Claim]:
    hardware, text = context.problem.hardware, statement.text
    if re.search(r"utili[sz]|efficien|achiev|measured|saturat", text, re.IGNORECASE):
        return
    nvlink = hardware.nvlink_gb_per_s * 1e9
    pcie, network = hardware.pcie_gb_per_s * 1e9, hardware.internode_gbit_per_s / 8 * 1e9
    local = [nvlink, nvlink / 2, pcie, 2 * pcie, nvlink * hardware.gpus_per_node]
    found = after(text, r"\bNVLink(?: ?\d(?:\.\d)?)?(?: bandwidth)?\b", "bytes/s")
    if found and nvlink:
        right = found.amount.near_any([nvlink, nvlink / 2, nvlink * hardware.gpus_per_node], 0.02)
        yield judged(
            statement,
            found.amount,
            right,
            _rate(nvlink),
            f"NVLink moves {_rate(nvlink)} per GPU, both directions together",
        )
    found = after(text, r"\bPCIe(?: ?(?:Gen ?)?\d(?:\.\d)?)?(?: ?x16)?(?: bandwidth)?\b", "bytes/s")
    if found and found.amount.near_any([pcie, 2 * pcie], 0.03):
        yield claim(
            statement, "confirmed", f"PCIe moves {_rate(pcie)} in one direction.", found.amount.text, _rate(pcie)
        )
    elif found and not found.amount.near(pcie / 2, 0.03):
        yield judged(statement, found.amount, False, _rate(pcie), f"PCIe moves {_rate(pcie)} in one direction")
    found = after(text, r"\binter-?node(?: (?:bandwidth|network|link))?\b", "bytes/s")
    if found:
        accepted = [network, network * hardware.gpus_per_node, network / hardware.gpus_per_node, 2 * network]
        stated = f"{hardware.internode_gbit_per_s:g} Gbit/s"
        yield judged(
            statement,
            found.amount,
            found.amount.near_any(accepted, 0.02),
            stated,
            f"the network between nodes carries {stated} per node",
        )
    found = after(text, r"\bintra-?node(?: (?:bandwidth|network|link|interconnect))?\b", "bytes/s")
    if found:
        if found.amount.near_any(local, 0.03):
            yield claim(
                statement,
                "confirmed",
                f"Inside the node NVLink moves {_rate(nvlink)} per GPU, PCIe {_rate(pcie)}.",
                found.amount.text,
                _rate(nvlink or pcie),
            )
        else:
            yield _intranode(statement, context, found.amount, nvlink, pcie)


def _intranode(statement: Statement, context: Context, amount: Amount, nvlink: float, pcie: float) -> Claim:
    for other in context.statements:
        stated = (
            after(other.text, r"\bNVLink(?: bandwidth)?\b", "bytes/s")
            if other.readable and other.line != statement.line
            else None
        )
        if stated and not amount.near_any([stated.amount.value, stated.amount.value / 2], 0.05):
            gbit, bits = amount.value * 8 / 1e9, stated.amount.value * 8 / 1e9
            return claim(
                statement,
                "contradicted",
                f"Line {other.line} gives NVLink {stated.amount.text} "
                f"inside the node, which is {bits:,.0f} Gbit/s; "
                f"{amount.text} is {gbit / 8:,.0f} GB/s.",
                amount.text,
                stated.amount.text,
            )
    expected = _rate(nvlink or pcie)
    return judged(statement, amount, False, expected, f"inside the node a GPU reaches the others at {expected}")


def _rate(value: float) -> str:
    return f"{plain_number(value / 1e9)} GB/s"
