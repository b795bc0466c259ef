"""Load balance: memory and compute of each stage, and their imbalance ε."""

from __future__ import annotations

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.derive.balance import FORMULA, derive_imbalance
from optimizer.reporting.derive.decode import derive_round
from optimizer.reporting.derive.memory import layer_counts
from optimizer.reporting.derive.prefill import derive_prompt
from optimizer.reporting.document import Block, Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.subject import Subject


def balance_section(subject: Subject, memory: dict[int, Figure]) -> Section:
    """A row per group of equal stages and a row of ε."""
    ledger, running, prompt = subject.ledger, subject.running, subject.problem.workload.prompt_tokens
    derive_round(subject, running)
    derive_prompt(subject, prompt)
    rows: list[tuple[Cell, ...]] = []
    groups = list(subject.stage_classes.items())
    for column, group in groups:
        layers = sum(count for _, count in layer_counts(subject, column))
        decode, prefill = f"decode-s{group[0]}-n{running}", f"prefill-s{group[0]}-m{prompt}"
        known = not subject.corrected
        rows.append((
            subject.stages_named(group), Figure(str(layers), layers, "layers"), memory[group[0]],
            ledger.figure(decode) if known else "not known", ledger.figure(prefill) if known else "not known",
        ))  # fmt: skip
    columns = (
        Column("stage", "GPU of"), Column("layers", "Layers", right=True), Column("memory", "Memory", right=True),
        Column("decode", f"Decode step, {running} sequences", right=True),
        Column("prefill", f"Prompt of {prompt:,} tokens", right=True),
    )  # fmt: skip
    layered = [
        (len(group), float(sum(count for _, count in layer_counts(subject, column))), "gpus-used")
        for column, group in groups
    ]
    held = [(len(group), float(memory[group[0]].value or 0), memory[group[0]].derivation or "") for _, group in groups]
    even: list[Cell] = ["ε", derive_imbalance(ledger, "epsilon-layers", "layers", layered, "layers"),
                        derive_imbalance(ledger, "epsilon-memory", "memory", held, "B")]  # fmt: skip
    for what, id, ending in (("the decode step", "decode", f"n{running}"), ("a prompt", "prefill", f"m{prompt}")):
        if subject.corrected:
            even.append("not known")
            continue
        names = [f"{id}-s{group[0]}-{ending}" for _, group in groups]
        times = [(len(group), ledger.value(name), name) for (_, group), name in zip(groups, names, strict=True)]
        even.append(derive_imbalance(ledger, f"epsilon-{id}", what, times, "ms"))
    blocks: list[Block] = [
        Text((
            f"{FORMULA}; 0 means that all stages are equal. The report that the project was created from gives a memory balance "
            "epsilon of 0.0 for four equal stages and states no formula; this one gives 0 there too. Embedding and output head "
            "make the first and last stage differ.",
        )),
        Table("balance", columns, (*rows, tuple(even)), "Memory and compute of each stage"),
    ]  # fmt: skip
    if subject.shape.pp > 1 and not subject.corrected:
        wait = (subject.answer.breakdown or {}).get("decode_ms", {}).get("waiting for the slowest stage", 0.0)
        blocks.append(
            Text((f"Waiting for the slowest stage costs {milliseconds(wait)} of a round with {running} sequences.",))
        )
    blocks.append(Text((_replicas(subject),)))
    return Section("balance", "Load balance", tuple(blocks))


def _replicas(subject: Subject) -> str:
    if subject.strategy.data_parallel == 1:
        return "There is one replica; TP ranks of a stage hold and compute the same."
    return (
        f"The {subject.strategy.data_parallel} replicas are equal and get equal shares of the requests; TP ranks of a stage hold "
        "and compute the same."
    )
