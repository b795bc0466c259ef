"""Judges the link inside a node, which reports give under its own name beside NVLink's: the two have to agree."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.units import Amount, plain_number
from optimizer.results.audit import Claim


def judge_links(statement: Statement, context: Context) -> Iterator[Claim]:
    """``Intra-node: 400 Gbit/s`` against the links of the GPU and against what another line says of NVLink."""
    hardware, text = context.problem.hardware, statement.text
    if re.search(r"utili[sz]|efficien|achiev|measured|saturat", text, re.IGNORECASE):
        return
    nvlink, pcie = hardware.nvlink_gb_per_s * 1e9, hardware.pcie_gb_per_s * 1e9
    local = [nvlink, nvlink / 2, pcie, 2 * pcie, nvlink * hardware.gpus_per_node]
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
