"""Throughput, how busy the GPUs are, and what the pipeline leaves idle."""

from __future__ import annotations

from optimizer.explain.common.numbers import count
from optimizer.reporting.derive.throughput import decode_bubble, derive_throughput, prefill_bubble
from optimizer.reporting.document import Block, Cell, Column, Figure, Picture, Section, Table, Text
from optimizer.reporting.subject import Subject


def throughput_section(subject: Subject) -> Section:
    """Tokens per second, the largest rate, compute used, bubbles of decode and prefill."""
    derive_throughput(subject)
    ledger = subject.ledger
    rows: list[tuple[Cell, ...]] = [
        ("Output tokens at the demand", ledger.figure("tokens_per_s"), ledger.figure("tokens_per_s-gpu")),
        (
            "Output tokens at most, every slot taken",
            ledger.figure("peak_tokens_per_s"),
            ledger.figure("peak_tokens_per_s-gpu"),
        ),
    ]
    columns = (
        Column("what", "Throughput"),
        Column("all", "All GPUs", right=True),
        Column("gpu", "Per GPU", right=True),
    )
    blocks: list[Block] = [Table("throughput", columns, tuple(rows))]
    said: list[str | Figure] = ["All limits hold up to ", ledger.figure("max_request_rate"), ". "]
    if "busy" in ledger:
        said += ["A replica works on at least one request ", ledger.figure("busy"), " of the time. "]
    said += ["Useful matrix products use ", ledger.figure("compute-share"), " of the 16-bit peak of the GPUs in use."]
    blocks.append(Text(tuple(said)))
    blocks += _bubbles(subject)
    return Section("throughput", "Throughput and pipeline bubbles", tuple(blocks))


def _bubbles(subject: Subject) -> list[Block]:
    shape, slots = subject.shape, subject.strategy.max_num_seqs
    seen = {"every slot taken": slots}
    if subject.running != slots:
        seen = {"median load": subject.running, **seen}
    rows: list[tuple[Cell, ...]] = []
    for words, running in seen.items():
        decode, prompt = decode_bubble(subject, running), prefill_bubble(subject, running)
        rows.append((f"{words} ({count(running, 'sequence')})", decode, prompt))
    tokens = subject.problem.workload.longest_prompt_tokens
    chunks = -(-subject.problem.workload.fresh(tokens) // subject.problem.search.max_num_batched_tokens)
    columns = (
        Column("at", "Sequences in progress"), Column("decode", "Decode: idle share of a round", right=True),
        Column("prefill", f"One prompt alone ({count(chunks, 'chunk')}): idle share", right=True),
    )  # fmt: skip
    formula = (
        "Decode: a round is the longer of one micro-batch through all stages, and all micro-batches through the slowest stage; "
        "the bubble is 1 − micro-batches × Σ stage times / (PP × round). Prefill of j chunks: the bubble is "
        "1 − j × Σ passes / (PP × prefill time); for equal stages that is (PP − 1) / (PP − 1 + j), sends apart. "
        "A single stage has no bubble."
    )
    return [
        Text((formula,)),
        Table("bubbles", columns, tuple(rows), f"Pipeline bubbles with {count(shape.pp, 'stage')}"),
        Picture("timeline", "A decode round through the pipeline", _timeline_alt(subject)),
    ]


def _timeline_alt(subject: Subject) -> str:
    shape, ledger, running = subject.shape, subject.ledger, subject.running
    turns = min(running, shape.pp)
    if subject.corrected:
        return "A decode round; the source of costs does not tell its stages apart."
    stages = "; ".join(
        f"{subject.stages_named(group)} {ledger.figure(f'decode-s{group[0]}-n{running}').text}"
        for group in subject.stage_classes.values()
    )
    return (
        f"{count(turns, 'micro-batch') if turns == 1 else f'{turns} micro-batches'} of up to {-(-running // shape.pp)} sequences over "
        f"{count(shape.pp, 'stage')}; a round takes {ledger.figure(f'round-n{running}').text} ({stages})."
    )
