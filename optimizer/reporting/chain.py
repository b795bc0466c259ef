"""The report of a chain's answer: which node holds which layers, what flows where, and what proves the bound."""

from __future__ import annotations

from optimizer.explain.common.numbers import count
from optimizer.facts.chain import ChainProblem
from optimizer.render.chain_svg import chain_svg
from optimizer.reporting.document import Block, Bullets, Cell, Column, Figure, Picture, Section, Table, Text, Verdict
from optimizer.reporting.ledger import Ledger, number, total
from optimizer.results.chain import ChainAnswer

MOST_CHAINS = 50
MOST_LINKS = 200


def chain_verdict(answer: ChainAnswer) -> tuple[Verdict, str]:
    """The verdict and its headline."""
    if answer.status == "unknown":
        return "unknown", "No placement was found in the time"
    if answer.feasible is False:
        return "fail", "The proposed placement is not possible"
    if not answer.placement:
        return "fail", "No placement serves any token"
    if answer.status == "optimal":
        return "pass", f"{answer.value:,.3f} tokens/s, proved the most there is"
    return "pass", f"{answer.value:,.3f} tokens/s; at most {answer.bound:,.3f} are possible"


def chain_sections(problem: ChainProblem, answer: ChainAnswer, ledger: Ledger) -> list[Section]:
    """Every section, the summary first."""
    if not answer.placement:
        return [_summary(answer, ledger)]
    _totals(answer, ledger)
    return [_summary(answer, ledger), _placement(answer), _chains(answer), _links(answer), _proof(problem, answer)]


def chain_pictures(answer: ChainAnswer) -> dict[str, str]:
    """SVG of every picture, by its id."""
    return {"chains": chain_svg(answer)} if answer.placement else {}


def _totals(answer: ChainAnswer, ledger: Ledger) -> None:
    ledger.derive(
        "tokens-per-s", "Tokens/s of the placement", "the sum of its chains",
        total([number(chain.tokens_per_s, 12) for chain in answer.chains]) if len(answer.chains) <= MOST_CHAINS else "",
        answer.value, "", text=f"{answer.value:,.3f} tokens/s", note="flows are whole thousandths of a token per second",
    )  # fmt: skip
    if answer.gap:
        ledger.derive(
            "gap", "Gap to the proved bound", "(bound − value) / value",
            f"({number(answer.bound, 12)} − {number(answer.value, 12)}) / {number(answer.value, 12)} × 100%",
            answer.gap * 100, "%", note="docs/chains.md",
        )  # fmt: skip


def _summary(answer: ChainAnswer, ledger: Ledger) -> Section:
    rows: list[tuple[Cell, ...]] = []
    if answer.placement:
        rows = [
            ("Tokens/s", ledger.figure("tokens-per-s")),
            ("Proved bound, tokens/s", Figure(f"{answer.bound:,.3f}", answer.bound)),
            ("Nodes in use", f"{len(answer.placement):,}"),
            ("Nodes idle", f"{len(answer.idle):,}"),
        ]
        if "gap" in ledger:
            rows.append(("Gap", ledger.figure("gap")))
    verified = answer.verification
    word = "Verified" if verified.passed else "NOT verified"
    said = [
        *answer.explanation,
        f"{word}: {verified.checks} checks, optimality {verified.optimality}.",
        *answer.search_limits,
        *(f"MISMATCH {one.what}: expected {one.expected}, found {one.actual}" for one in verified.mismatches),
    ]
    blocks: list[Block] = []
    if rows:
        columns = (Column("what", "Figure"), Column("value", "Value", right=True))
        blocks.append(Table("key-figures", columns, tuple(rows)))
    blocks.append(Bullets(tuple(("info", (sentence,)) for sentence in said)))
    return Section("summary", "Summary and verdict", tuple(blocks))


def _placement(answer: ChainAnswer) -> Section:
    columns = (
        Column("node", "Node"), Column("type", "Type"), Column("partition", "Partition"), Column("layers", "Layers"),
        Column("held", "Held", right=True), Column("tokens", "Tokens/s", right=True), Column("of", "Of at most", right=True),
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (held.node, held.type, held.partition, f"{held.start} to {held.start + held.layers - 1}", f"{held.layers}",
         f"{held.tokens_per_s:,.3f}", f"{held.capacity_tokens_per_s:,.3f}")
        for held in answer.placement
    ]  # fmt: skip
    words = (
        f"{count(len(answer.placement), 'node')} hold the {answer.layers} layers; {count(len(answer.chains), 'chain')} "
        f"carry {answer.value:,.3f} tokens/s."
    )
    blocks: list[Block] = [
        Picture("chains", "Who holds which layers, and what flows", words, "chains.svg"),
        Table("placement", columns, tuple(rows)),
    ]
    if answer.idle:
        blocks.append(Text((f"Idle: {', '.join(answer.idle)}.",)))
    return Section("placement", "Placement", tuple(blocks))


def _chains(answer: ChainAnswer) -> Section:
    columns = (
        Column("tokens", "Tokens/s", right=True), Column("ms", "Time of a token, ms", right=True), Column("nodes", "Nodes"),
    )  # fmt: skip
    ordered = sorted(answer.chains, key=lambda chain: -chain.tokens_per_s)
    rows: list[tuple[Cell, ...]] = [
        (f"{chain.tokens_per_s:,.3f}", f"{chain.ms_per_token:,.3f}", " > ".join(chain.nodes))
        for chain in ordered[:MOST_CHAINS]
    ]
    blocks: list[Block] = [Table("chains", columns, tuple(rows))]
    if len(ordered) > MOST_CHAINS:
        blocks.append(Text((f"{len(ordered) - MOST_CHAINS} more chains are in report.json.",)))
    return Section("chains", "Chains", tuple(blocks))


def _links(answer: ChainAnswer) -> Section:
    columns = (
        Column("src", "From"), Column("dst", "To"), Column("tokens", "Tokens/s", right=True),
        Column("of", "Of at most", right=True),
    )  # fmt: skip
    ordered = sorted(answer.flows, key=lambda flow: -flow.tokens_per_s)
    rows: list[tuple[Cell, ...]] = [
        (flow.src, flow.dst, f"{flow.tokens_per_s:,.3f}",
         "no limit" if flow.capacity_tokens_per_s is None else f"{flow.capacity_tokens_per_s:,.3f}")
        for flow in ordered[:MOST_LINKS]
    ]  # fmt: skip
    blocks: list[Block] = [Table("links", columns, tuple(rows))]
    if len(ordered) > MOST_LINKS:
        blocks.append(Text((f"{len(ordered) - MOST_LINKS} more links are in report.json.",)))
    return Section("links", "Links in use", tuple(blocks))


def _proof(problem: ChainProblem, answer: ChainAnswer) -> Section:
    proof = answer.proof
    if proof.method == "cross_section":
        said = (
            "The bound is a cross-section that anyone can check (docs/chains.md): "
            f"{proof.cross_section_tokens_per_s:,.3f} tokens/s with these weights."
        )
    else:
        said = (
            "The bound is the search's own; the cross-section with these weights proves "
            f"{proof.cross_section_tokens_per_s:,.3f} tokens/s."
        )
    columns = (Column("type", "Node type"), Column("weight", "Weight of a node", right=True))
    rows: list[tuple[Cell, ...]] = [(name, f"{weight:,}") for name, weight in proof.weight_per_node.items()]
    more = f"Weight of a stage {proof.weight_per_stage:,}, of a microsecond of the limits {proof.weight_per_us:,}."
    return Section(
        "proof",
        f"What proves the bound for {problem.name}",
        (Text((said,)), Table("weights", columns, tuple(rows)), Text((more,))),
    )
