"""The strategy held against the hardware: GPU use, memory by stage, layers by stage, and every rule."""

from __future__ import annotations

from optimizer.facts.hardware import GIB
from optimizer.reporting.derive.memory import TERMS
from optimizer.reporting.derive.rules import actual_cell, limit_cell, slack_cell
from optimizer.reporting.document import Cell, Column, Figure, Picture, Section, Status, Table, Text
from optimizer.reporting.ledger import size
from optimizer.reporting.subject import Subject
from optimizer.results.answer import RuleResult

TERM_IDS = {"weights": "weights-s{}", "KV cache": "cache-s{}"}


def strategy_section(subject: Subject, memory: dict[int, Figure]) -> Section:
    """What the strategy is, and that it fits; ``memory`` from ``derive_memory``."""
    s, ledger, there = subject.strategy, subject.ledger, subject.hardware.gpus
    used = ledger.derive(
        "gpus-used", "GPUs in use", "TP × PP × DP", f"{s.tensor_parallel} × {s.pipeline_parallel} × {s.data_parallel}",
        s.gpus, "GPUs", note="expert parallelism spreads experts over GPUs that already exist; it never multiplies their number",
    )  # fmt: skip
    share = ledger.derive(
        "gpu-share", "Share of the GPUs in use", "GPUs in use / GPUs there are", f"{s.gpus} / {there}", s.gpus / there * 100,
        "%", inputs=("gpus-used", "gpus"),
    )  # fmt: skip
    decisions: list[tuple[Cell, ...]] = [
        ("Tensor parallel (TP)", str(s.tensor_parallel), "GPUs that share each layer"),
        ("Pipeline parallel (PP)", str(s.pipeline_parallel), "stages, one after the other"),
        ("Data parallel (DP)", str(s.data_parallel), "replicas of the model"),
        ("Expert parallel (EP)", str(s.expert_parallel), "GPUs over which whole experts are spread; 1: not used"),
        ("Engine instances × GPUs each", f"{subject.instances} × {subject.instance_gpus}", "what fails as one"),
        ("Sequences per replica", str(s.max_num_seqs), "max_num_seqs"),
        ("Weights / KV cache", f"{s.weight_precision} / {s.kv_precision}", "number formats"),
        ("Layers per stage", _layers(s.layers_per_stage), f"{subject.model.layers} layers"),
    ]
    columns = (Column("what", "Decision"), Column("value", "Value", right=True), Column("meaning", "Meaning"))
    fits = s.gpus <= there
    gpu_line = Text((
        "GPU use: ", used, f" of {there:,} GPUs, ", share, "." if fits else ": more than there are.",
    ))  # fmt: skip
    broken = [rule for rule in subject.answer.rules if rule.enabled and not rule.holds]
    return Section(
        "strategy",
        "Strategy validation",
        (
            Text((_validation(subject, broken),)),
            Table("strategy", columns, tuple(decisions), f"The strategy: {s.label}"),
            gpu_line,
            Text((
                "In the map each colour is one engine instance, which fails as a whole; each frame is a node, which takes every "
                "instance on it along.",
            )),
            Picture("cluster", "Where each replica stands", _cluster_alt(subject)),
            _memory_table(subject, memory),
            _memory_line(subject),
            Picture("memory", "Memory of a GPU, by stage", _memory_alt(subject)),
            Text((
                f"Layer distribution: {subject.model.layers} layers over {_stages(s.pipeline_parallel)}, "
                f"{_layers(s.layers_per_stage)}; ε in section “Load balance”.",
            )),
            rules_table(subject),
        ),
    )  # fmt: skip


def _validation(subject: Subject, broken: list[RuleResult]) -> str:
    rules = [rule for rule in subject.answer.rules if rule.enabled]
    if not broken:
        off = len(subject.answer.rules) - len(rules)
        return f"All {len(rules)} rules hold." + (f" {off} more are switched off and marked." if off else "")
    names = ", ".join(rule.id for rule in broken)
    return f"{len(broken)} of {len(rules)} rules are broken: {names}."


def _stages(count: int) -> str:
    return "1 stage" if count == 1 else f"{count} stages"


def _layers(split: tuple[int, ...]) -> str:
    if len(split) > 8:
        return f"{split[0]}+{split[1]}+…+{split[-1]} ({len(split)} stages)"
    return "+".join(map(str, split))


def _memory_table(subject: Subject, memory: dict[int, Figure]) -> Table:
    stages = subject.answer.breakdown or {}
    rows: list[tuple[Cell, ...]] = []
    budget = subject.ledger.value("memory-budget")
    for group in subject.stage_classes.values():
        first = group[0]
        terms = stages["memory_bytes_by_stage"][first] if stages else {}
        cells: list[Cell] = [subject.stages_named(group)]
        for term in TERMS:
            id = TERM_IDS.get(term, term).format(first)
            value = terms.get(term, 0)
            cells.append(
                Figure(size(value), value, "B", id if id in subject.ledger and value else None) if value else "–"
            )
        total = memory[first]
        fits = float(total.value or 0) <= budget
        rows.append((*cells, total, Status("pass" if fits else "fail", "fits" if fits else "too much")))
    columns = (
        Column("stage", "GPU of"),
        *(Column(term.replace(" ", "_"), term, right=True) for term in TERMS),
        Column("total", "total", right=True),
        Column("fits", "budget"),
    )
    return Table("memory", columns, tuple(rows), "Memory of one GPU, by stage")


def _memory_line(subject: Subject) -> Text:
    ledger = subject.ledger
    spare = ledger.value("memory-spare")
    end: tuple[str | Figure, ...] = (
        (ledger.figure("memory-spare"), " to spare.") if spare >= 0
        else (Figure(f"{size(-spare)}", -spare, "B", "memory-spare"), " too much.")
    )  # fmt: skip
    return Text((
        "The fullest GPU holds ", ledger.figure("memory"), ", ", ledger.figure("memory-share"),
        " of its memory; ", ledger.figure("memory-budget"), " may be used: ", *end,
    ))  # fmt: skip


def _memory_alt(subject: Subject) -> str:
    m = subject.metrics
    stages = "; ".join(
        f"{subject.stages_named(group)}: {m.memory_bytes_per_stage[group[0]] / GIB:.2f} GiB"
        for group in subject.stage_classes.values()
    )
    budget = subject.ledger.value("memory-budget") / GIB
    return (
        f"Stacked bars of weights, KV cache and the rest on one GPU of each stage ({stages}), "
        f"against the {budget:.2f} GiB that may be used and the {subject.hardware.gpu.memory_bytes / GIB:.2f} GiB there are."
    )


def _cluster_alt(subject: Subject) -> str:
    placement = subject.placement
    if placement is None:
        return "No map: the strategy needs more GPUs than there are."
    said = [
        f"{instance.name} on {', '.join(instance.nodes)}" for instance in placement.instances[:8]
    ]  # fmt: skip
    more = f" and {len(placement.instances) - 8} more" if len(placement.instances) > 8 else ""
    return (
        f"Map of {subject.hardware.nodes} node{'s' if subject.hardware.nodes > 1 else ''} with {subject.hardware.gpus_per_node} "
        f"GPUs each; every GPU shows its replica, stage and TP rank. {'; '.join(said)}{more}. "
        "Each outlined node is a failure domain: losing it takes every instance that touches it."
    )


def rules_table(subject: Subject) -> Table:
    """Every rule with limit, actual and slack, broken ones first."""
    columns = (
        Column("status", "Status"), Column("rule", "Rule"), Column("limit", "Limit", right=True),
        Column("actual", "Actual", right=True), Column("slack", "Slack", right=True),
    )  # fmt: skip
    rows = []
    for rule in sorted(subject.answer.rules, key=lambda rule: rule.holds or not rule.enabled):
        mark = (
            Status("info", "off")
            if not rule.enabled
            else Status("pass", "holds")
            if rule.holds
            else Status("fail", "broken")
        )
        cells = (limit_cell(rule), actual_cell(subject, rule), slack_cell(subject, rule))
        rows.append((mark, f"{rule.sentence} ({rule.id})", *cells))
    broken = sum(rule.enabled and not rule.holds for rule in subject.answer.rules)
    others = (
        f"{len(rows) - broken} rules that hold or are off"
        if broken
        else f"All {len(rows)} rules, with limit, actual and slack"
    )
    return Table("rules", columns, tuple(rows), "Broken rules" if broken else "Every rule", others, broken)


def empty_strategy_section(status: str) -> Section:
    """What stands here without a strategy."""
    why = (
        "none of those considered keeps every rule" if status == "infeasible" else "the time limit was reached before one was found"
    )  # fmt: skip
    return Section("strategy", "Strategy validation", (Text((f"There is no strategy to validate: {why}.",)),))
