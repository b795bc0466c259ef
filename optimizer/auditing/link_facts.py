"""Judges what a report says about links: NVLink, PCIe, between nodes and inside one, as vendors print them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import after, claim, judged
from optimizer.auditing.reading import Statement
from optimizer.auditing.result import Claim
from optimizer.auditing.units import Amount, plain_number


def judge_links(statement: Statement, context: Context) -> Iterator[Claim]:
    """Bandwidths of the links, in one direction or both together."""
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
