"""Judges launch commands: unknown flags, settings that contradict the report or the facts, flags that only cost speed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.launch_setup import judge_model_name, judge_ray
from optimizer.auditing.measures import measures
from optimizer.auditing.reading import Statement
from optimizer.auditing.sections import alternative_lines
from optimizer.auditing.shell import Flag, ShellCommand
from optimizer.auditing.strategies import NAMES
from optimizer.auditing.units import plain_number
from optimizer.engines.flags import EngineFlags, engine_flags
from optimizer.engines.registry import same_setting
from optimizer.results.audit import Claim, Verdict

_REASON = re.compile(
    r"\b(?:because|due to|since|required|needed|necessary|work-?around|bug|debug\w*|to save|hang\w*|crash\w*|saves?|avoid\w*|so that)\b",
    re.IGNORECASE,
)


def judge_commands(statement: Statement, context: Context) -> Iterator[Claim]:
    """Claims of the flags that stand on this line."""
    for command in context.commands:
        if statement.line not in command.lines:
            continue
        if command.program == "ray":
            yield from judge_ray(statement, command, context)
            continue
        known = engine_flags(command.program)
        degrees = {line: (which, value) for which, value, line in command.degrees()}
        if command.model_line == statement.line and command.model:
            yield from judge_model_name(statement, command, context)
        for flag in command.flags:
            if flag.line == statement.line:
                yield from _flag(flag, known, command, context, degrees)


def _say(flag: Flag, verdict: Verdict, reason: str, expected: str | None = None) -> Claim:
    return Claim(flag.line, flag.text, verdict, reason, flag.value or flag.name, expected)


def _flag(
    flag: Flag, known: EngineFlags, command: ShellCommand, context: Context, degrees: dict[int, tuple[str, int]]
) -> Iterator[Claim]:
    if not flag.name.startswith("--"):
        if flag.line in degrees and flag.name in ("-tp", "-pp", "-dp"):
            yield from _degree(flag, {"-tp": "tp", "-pp": "pp", "-dp": "dp"}[flag.name], context)
        return
    name = "--" + flag.name[2:].replace("_", "-")
    if not known.accepts(name):
        near = same_setting(name, command.program) or known.nearest(name)
        hint = f"; did you mean {near}?" if near else "; leave it out."
        yield _say(
            flag,
            "refuted",
            f"{flag.name} is no flag of `{known.command}` {known.version}{hint}",
            near or "no such flag",
        )
        return
    spelled = next((one for one in known.known if one.replace("_", "-") == name), name)
    allowed = known.choices.get(spelled)
    if allowed and flag.value and flag.value not in allowed:
        yield _say(flag, "refuted", f"{flag.name} takes one of {', '.join(allowed)}.", " or ".join(allowed))
        return
    sizes = {which: value for which, value, line in command.degrees() if line == flag.line}
    which = next((w for w in sizes if f"--{NAMES[w]}" in name or name in (f"--{w}", f"--{w}-size")), None)
    if which:
        yield from _degree(flag, which, context)
        return
    special = _SETTINGS.get(name)
    said = list(special(flag, context)) if special else []
    if spelled in known.costly:
        said = list(_costly(flag, known.costly[spelled], context))
    if said or special:
        yield from said
        return
    if spelled in known.costly:
        return
    yield _say(flag, "confirmed", f"`{known.command}` {known.version} has this flag.")


def _degree(flag: Flag, which: str, context: Context) -> Iterator[Claim]:
    proposed = context.strategy
    if proposed is None or not flag.value.isdigit():
        return
    stated, right = int(flag.value), getattr(proposed, which)
    total = context.problem.hardware.gpus
    of_variant = context.variants.lettered.get(flag.line)
    if stated != right and (
        flag.line in alternative_lines(context.statements) or (of_variant and of_variant.as_dict.get(which) == stated)
    ):
        return  # the command of what was not chosen
    of_its_own = of_variant.as_dict.get(which) if of_variant else None
    if of_variant is not None and of_its_own not in (None, stated) and which in ("tp", "pp"):
        reason = f"{of_variant.text} has {NAMES[which]} parallelism {of_its_own}, not {stated}."
        yield _say(flag, "contradicted", reason, f"{of_its_own}")
        return
    nodes = context.problem.hardware.nodes
    if stated != right and which == "dp" and stated * nodes == right and _an_engine_a_node(flag, context):
        yield _say(
            flag, "confirmed", f"{nodes} engines of {stated} ranks make the {right} of {proposed.label}.", f"{stated}"
        )
    elif stated != right and which in proposed.named:
        yield _say(
            flag,
            "contradicted",
            f"Line {proposed.line} proposes {proposed.label}: {NAMES[which]} parallelism is {right}, not {stated}.",
            f"{right}",
        )
    elif proposed.gpus > total and which != "ep":
        yield _say(
            flag, "refuted", f"{proposed.label} takes {proposed.gpus} GPUs; there are {total}.", f"at most {total} GPUs"
        )
    elif which == "tp" and context.problem.model.attention_heads % stated:
        yield _say(
            flag,
            "refuted",
            f"TP has to divide the {context.problem.model.attention_heads} attention heads.",
            f"a divisor of {context.problem.model.attention_heads}",
        )
    else:
        yield _say(flag, "confirmed", f"It agrees with {proposed.label}.", f"{right}")


_ENGINE = re.compile(
    r"\b(?:one|an) (?:engine|server|instance|process) (?:a|per|on each|on every|for each) (?:node|machine|host)\b"
    r"|\b(?:eine|je eine) (?:Engine|Instanz) (?:je|pro|auf jedem) (?:Knoten|Rechner|Server)\b"
    r"|\b(?:un|une) (?:moteur|instance) (?:par|sur chaque) (?:nœud|machine|serveur)\b",
    re.IGNORECASE,
)
_SEATS = re.compile(
    r"\b(?:at most|up to|no more than|höchstens|bis zu|au plus|jusqu'à)\s(?P<n>\d{1,5})\s(?:sequences|requests|Sequenzen|Anfragen|séquences"
    r"|requêtes)\s(?:per|a|on each|je|pro|par)\s(?:rank|replica|Rang|Replikat|rang|réplique)\b",
    re.IGNORECASE,
)
_ABOVE = 10
"""Lines above a flag in which its command is introduced."""


def _introduction(flag: Flag, context: Context) -> list[Statement]:
    return [s for s in context.statements if 0 < flag.line - s.line <= _ABOVE and s.line not in context.command_lines]


def _an_engine_a_node(flag: Flag, context: Context) -> bool:
    """Whether each node runs an engine of its own, which has its part of the ranks."""
    return any(_ENGINE.search(statement.text) for statement in _introduction(flag, context))


def _whole(value: str) -> int | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", value)
    if not found:
        return None
    scale = {"": 1, "k": 1000, "K": 1024, "m": 10**6, "M": 2**20}[found[2]]
    return int(float(found[1]) * scale)


def _sequences(flag: Flag, context: Context) -> Iterator[Claim]:
    value, limit = _whole(flag.value), context.problem.max_batch
    if value is None or value < 1:
        return
    stated = [s for s in context.stated("batch") if s.value >= 1]
    replicas = context.strategy.dp if context.strategy else 1
    if stated and all(value != s.value and value * replicas != s.value for s in stated):
        first = stated[0]
        yield _say(
            flag,
            "contradicted",
            f"Line {first.line} gives a batch "
            f"of {plain_number(first.value)}; "
            f"{flag.text} lets {value:,} sequences run at once"
            + (f", beyond the limit of {limit:,} that the problem sets." if value > limit else "."),
            plain_number(first.value),
        )
    elif told := [
        (s, found)
        for s in _introduction(flag, context)
        if (found := _SEATS.search(s.text)) and int(found["n"]) != value
    ]:
        above, found = told[-1]
        yield _say(flag, "contradicted", f"Line {above.line} gives {found.group()}, not {value:,}.", found["n"])
    elif value > limit:
        yield _say(
            flag,
            "refuted",
            f"The problem allows at most {limit:,} sequences at once on a replica.",
            f"at most {limit:,}",
        )
    else:
        yield _say(flag, "confirmed", f"It keeps to the limit of {limit:,} sequences.", None)


_CAPS = re.compile(
    r"\b(?:stops?|ends?|service|session\w*|history|sequences?|requests?|s'arrête|endet|Sitzung\w*|Verlauf|Sequenz\w*|séquences?"
    r"|requêtes?|cap|caps|capped|admit\w*|allow\w*|limit\w*|longest|longer|maximum|max|at most|up to|full"
    r"|permit\w*|erlaub\w*|lassen|zulass\w*|höchst\w*"
    r"|maximal\w*|längst\w*|länger|bis zu|autoris\w*|admet\w*|limit\w*|au plus|maximale?)\b",
    re.IGNORECASE,
)


def _cap_stated(wanted: int, context: Context) -> int | None:
    """The line of the report that speaks of sequences of the problem's longest length; None where there is none."""
    for one in context.statements:
        if not one.readable or one.line in context.command_lines or not _CAPS.search(one.text):
            continue
        if any(wanted in m.values for m in measures(one.text, context.language(one)) if not m.dimension):
            return one.line
    return None


def _length(flag: Flag, context: Context) -> Iterator[Claim]:
    value, model = _whole(flag.value), context.problem.model
    wanted = context.problem.max_sequence_tokens
    if value is None or value < 1:
        return
    extended = any(
        "rope" in other.name or "overrides" in other.name for command in context.commands for other in command.flags
    )
    if value > model.max_context_tokens * 1.025 and not extended:
        yield _say(
            flag,
            "refuted",
            f"{model.name} was made for at most {model.max_context_tokens:,} tokens.",
            f"at most {model.max_context_tokens:,}",
        )
    elif value < wanted * 0.975 and context.problem.requirements.max_sequence_tokens:
        yield _say(flag, "refuted", f"Sequences of up to {wanted:,} tokens are to be served.", f"{wanted:,}")
    elif (
        value != wanted and context.problem.requirements.max_sequence_tokens and (said := _cap_stated(wanted, context))
    ):
        reason = f"Line {said} speaks of {wanted:,} tokens, the longest sequence of the problem; this allows {value:,}."
        yield _say(flag, "contradicted", reason, f"{wanted:,}")
    else:
        yield _say(
            flag,
            "confirmed",
            f"{model.name} takes up to {model.max_context_tokens:,} tokens; {wanted:,} are to be served.",
            f"{wanted:,}",
        )


def _memory(flag: Flag, context: Context) -> Iterator[Claim]:
    limit = context.problem.requirements.gpu_memory_utilization
    if not re.fullmatch(r"\d*\.?\d+", flag.value):
        return
    share = float(flag.value)
    if not 0 < share <= 1:
        yield _say(flag, "refuted", "It is a share of the GPU's memory, above 0 and at most 1.", f"{limit:g}")
    elif share > limit + 1e-9:
        yield _say(flag, "refuted", f"The problem allows {limit:.0%} of each GPU's memory.", f"{limit:g}")
    else:
        yield _say(
            flag,
            "confirmed",
            f"The problem allows {limit:.0%} of each GPU's memory; the engine fills its share with KV cache.",
            f"{limit:g}",
        )


def _dtype(flag: Flag, context: Context) -> Iterator[Claim]:
    named = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16"}.get(flag.value.lower())
    if named is None:
        return
    prose = [s for s in context.statements if s.line not in context.command_lines and s.readable]
    said: dict[str, int] = {}
    for statement in prose:
        for name, pattern in (("fp16", r"\b(?:FP16|float16)\b"), ("bf16", r"\b(?:BF16|bfloat16)\b")):
            if re.search(pattern, statement.text, re.IGNORECASE) and "KV" not in statement.text:
                said.setdefault(name, statement.line)
    if len(said) == 1 and named not in said:
        other, line = next(iter(said.items()))
        yield _say(flag, "contradicted", f"Line {line} speaks of {other.upper()}.", other)
    else:
        yield _say(flag, "confirmed", f"{named.upper()} holds 2 bytes per parameter, as assumed.", None)


def _experts(flag: Flag, context: Context) -> Iterator[Claim]:
    if not context.problem.model.experts:
        yield _say(
            flag, "refuted", f"{context.problem.model.name} is dense: it has no experts to spread.", "without it"
        )
    else:
        yield _say(
            flag, "confirmed", f"{context.problem.model.name} has {context.problem.model.experts} routed experts.", None
        )


def _share(flag: Flag, context: Context) -> Iterator[Claim]:
    """A share of what the engine counts itself, which the problem's limit of the whole GPU does not bound."""
    if not re.fullmatch(r"\d*\.?\d+", flag.value):
        return
    if not 0 < float(flag.value) <= 1:
        yield _say(flag, "refuted", "It is a share of memory, above 0 and at most 1.", "at most 1")
    else:
        yield _say(flag, "confirmed", "It is a share of the memory that the engine counts here, not of the whole GPU.")


def _node(flag: Flag, context: Context) -> Iterator[Claim]:
    right = context.problem.hardware.gpus_per_node
    if flag.value.isdigit():
        same = int(flag.value) == right
        yield _say(flag, "confirmed" if same else "refuted", f"A node has {right} GPUs.", f"{right}")


_SETTINGS = {
    "--max-num-seqs": _sequences,
    "--max-running-requests": _sequences,
    "--max-batch-size": _sequences,
    "--max-model-len": _length,
    "--context-length": _length,
    "--max-seq-len": _length,
    "--kv-cache-free-gpu-memory-fraction": _share,
    "--free-gpu-memory-fraction": _share,
    "--mem-fraction-static": _share,
    "--gpus-per-node": _node,
    "--gpu-memory-utilization": _memory,
    "--dtype": _dtype,
    "--enable-expert-parallel": _experts,
}


def _costly(flag: Flag, why: str, context: Context) -> Iterator[Claim]:
    if flag.value.lower() in ("false", "0") or (flag.value == "1" and "width" in flag.name):
        return
    hardware, proposed = context.problem.hardware, context.strategy
    if "all-reduce" in flag.name and not (
        proposed and 2 <= proposed.tp <= 8 and hardware.nvlink_gb_per_s and proposed.tp <= hardware.nvlink_domain_gpus
    ):
        return
    word = {"--enforce-eager": r"eager|CUDA graph", "--disable-cuda-graph": r"CUDA graph"}.get(
        flag.name, re.escape(flag.name.lstrip("-")).replace(r"\-", "[- ]") + r"|custom all-?reduce|overlap"
    )
    for statement in context.statements:
        about = (
            statement.line not in context.command_lines
            and statement.readable
            and re.search(word, statement.text, re.IGNORECASE)
        )
        if about and _REASON.search(statement.text):
            return
    yield _say(
        flag,
        "refuted",
        f"It costs performance without need: {why}. Nothing in the report calls for it.",
        f"without {flag.name}",
    )
