"""Communication: volume and time of each pattern, and how much of each link is used."""

from __future__ import annotations

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.derive.decode import stage_ms
from optimizer.reporting.derive.links import links_there
from optimizer.reporting.derive.traffic import Flow, derive_traffic, derive_utilisation
from optimizer.reporting.document import Block, Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.subject import Subject


def communication_section(subject: Subject) -> Section:
    """Flows by link class, then utilisation of every link class there is."""
    flows = derive_traffic(subject)
    blocks: list[Block] = [Text((_words(subject, flows),))]
    if flows:
        blocks.append(_flows(subject, flows))
    rows: list[tuple[Cell, ...]] = []
    for link in links_there(subject):
        used = derive_utilisation(subject, link, flows)
        rows.append((link.title, Figure(f"{link.gb_per_s:,.4g} GB/s", link.gb_per_s, "GB/s"), used))
    columns = (
        Column("link", "Link class"), Column("bandwidth", "Bandwidth, one direction", right=True),
        Column("utilisation", "Used on average at the demand", right=True),
    )  # fmt: skip
    blocks.append(Table("links", columns, tuple(rows), "Link utilisation"))
    if subject.hardware.nodes == 1:
        blocks.append(Text(("There is one node: nothing crosses the network but the requests and their answers.",)))
    return Section("communication", "Communication", tuple(blocks))


def _words(subject: Subject, flows: list[Flow]) -> str:
    if not flows:
        return "Every replica is a single GPU: there is no communication between GPUs."
    said = ["Volumes are what a GPU sends (collectives), or what one hop between stages carries (sends)."]
    if any(flow.id == "reduce" for flow in flows):
        said.append(
            "A layer has two all-reduces, one after attention and one after the feed-forward part; a ring over t GPUs sends "
            f"2 (t − 1)/t of the vector, and its time counts {subject.constants.ar_factor:g} times that, as kernels reach only "
            "part of the bandwidth."
        )
    return " ".join(said)


def _flows(subject: Subject, flows: list[Flow]) -> Table:
    columns = (
        Column("pattern", "Pattern"), Column("link", "Link"), Column("each", "One, per GPU", right=True),
        Column("step", "Decode step", right=True), Column("step_ms", "Time", right=True),
        Column("share", "of the step", right=True), Column("prompt", "Prompt", right=True), Column("prompt_ms", "Time", right=True),
        Column("second", "Per second at the demand", right=True),
    )  # fmt: skip
    slowest = float(stage_ms(subject, subject.running).max())
    rows = []
    for flow in flows:
        share = flow.step_ms / slowest
        rows.append((
            flow.title, flow.link.title, flow.per_layer or flow.step, flow.step, _time(subject, flow, flow.step_ms, "step"),
            Figure(f"{share:.1%}", share * 100, "%", _share(subject, flow, slowest)), flow.prompt,
            _time(subject, flow, flow.prompt_ms, "prompt"), flow.second,
        ))  # fmt: skip
    caption = f"Communication with {subject.running} sequences in progress and prompts of {subject.problem.workload.prompt_tokens:,} tokens"
    return Table("flows", columns, tuple(rows), caption)


def _time(subject: Subject, flow: Flow, value: float, what: str) -> Figure:
    """Links to the term of the stage with the most layers, where that is derived."""
    ledger = subject.ledger
    text = milliseconds(value) if value >= 0.01 or not value else f"{value * 1e3:.2f} µs"
    term = {"reduce": "tp-all-reduce", "exchange": "expert-exchange"}.get(flow.id, "")
    ending = f"n{subject.running}" if what == "step" else f"m{subject.problem.workload.prompt_tokens}"
    start = "decode" if what == "step" else "prefill"
    for group in subject.stage_classes.values():
        id = f"{start}-{term}-s{group[0]}-{ending}"
        if id in ledger and abs(ledger.value(id) - value) <= 1e-9 * max(1.0, value):
            return Figure(text, value, "ms", id)
    if flow.id.startswith("send"):
        size = flow.step if what == "step" else flow.prompt
        late = f" + {flow.link.latency_ms:g} ms" if flow.link.latency_ms else ""
        return ledger.derive(
            f"{flow.id}-{what}-ms", f"{flow.title}: time of one hop, {what}", "bytes / bandwidth + latency",
            f"{size.value:,.0f} B / ({flow.link.gb_per_s:,.9g} GB/s){late}", value, "ms", text=text,
            inputs=[size.derivation] if size.derivation else [],
        )  # fmt: skip
    return Figure(text, value, "ms")


def _share(subject: Subject, flow: Flow, slowest: float) -> str:
    from optimizer.reporting.ledger import ms

    subject.ledger.derive(
        f"{flow.id}-share", f"{flow.title}: share of the longest stage's decode step", "time / decode step of the slowest stage",
        f"{ms(flow.step_ms)} / ({ms(slowest)})", flow.step_ms / slowest * 100, "%",
    )  # fmt: skip
    return f"{flow.id}-share"
