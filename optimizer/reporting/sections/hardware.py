"""The hardware: what there is, and where each figure comes from."""

from __future__ import annotations

from optimizer.catalog import lookup as catalog
from optimizer.facts.problem import Problem
from optimizer.reporting.document import Cell, Column, Figure, Section, Table, Text
from optimizer.reporting.ledger import Ledger, number

COLUMNS = (Column("what", "Fact"), Column("value", "Value", right=True), Column("source", "Source"))


def hardware_section(problem: Problem, ledger: Ledger) -> Section:
    """Nodes, GPUs, links, failure rates."""
    facts, gpu = problem.hardware, problem.hardware.gpu
    sources = _sources(problem)
    ledger.derive(
        "gpus", "GPUs there are", "nodes × GPUs per node", f"{facts.nodes} × {facts.gpus_per_node}", facts.gpus, "GPUs",
        note="hardware.nodes, hardware.gpus_per_node",
    )  # fmt: skip
    all_memory = ledger.derive(
        "all-memory", "Memory of all GPUs", "GPUs × memory that a process gets", f"{facts.gpus} × {number(gpu.process_mib)} MiB",
        facts.gpus * gpu.memory_bytes, "B", inputs=("gpus",),
    )  # fmt: skip
    one = Figure(f"{gpu.memory_bytes / 1024**3:,.2f} GiB", gpu.memory_bytes, "B")
    rows: list[tuple[Cell, ...]] = [
        ("GPU type", gpu.name, "hardware.gpu"),
        ("Nodes × GPUs per node", f"{facts.nodes} × {facts.gpus_per_node}", "problem file"),
        ("GPUs", ledger.figure("gpus"), "computed"),
        ("Memory of one GPU", f"{gpu.memory_mib:,} MiB", sources("memory_mib")),
        ("Part of it that a process gets", one, sources("reserved_mib")),
        ("Memory of all GPUs", all_memory, "computed"),
        ("Memory bandwidth of one GPU", Figure(f"{gpu.memory_bandwidth_gb_per_s:,.0f} GB/s", gpu.memory_bandwidth_gb_per_s, "GB/s"),
         sources("memory_bandwidth_gb_per_s")),
    ]  # fmt: skip
    rates_by_format: list[str | Figure] = []
    for name, rate in gpu.dense_tflops.items():
        rates_by_format += [
            f"{', ' if rates_by_format else ''}{name} ",
            Figure(f"{rate:,.0f} TFLOP/s", rate, "TFLOP/s"),
        ]
    rows.append(("Peak rates of one GPU, dense", Text(tuple(rates_by_format)), sources("dense_tflops")))
    if facts.nvlink_gb_per_s:
        ledger.derive(
            "nvlink-bandwidth", "NVLink bandwidth of one GPU, one direction", "both directions together / 2",
            f"{number(facts.nvlink_gb_per_s)} GB/s / 2", facts.nvlink_gb_per_s / 2, "GB/s",
            text=f"{facts.nvlink_gb_per_s / 2:,.0f} GB/s", note="vendors print both directions together",
        )  # fmt: skip
        rows.append(("NVLink of one GPU, one direction", ledger.figure("nvlink-bandwidth"), sources("nvlink_gb_per_s")))
        domain = Figure(f"{facts.nvlink_domain_gpus} GPUs", facts.nvlink_domain_gpus, "GPUs")
        rows.append(("NVLink domain", domain, sources("nvlink_domain_gpus")))
    else:
        rows.append(("NVLink", "none", sources("nvlink_gb_per_s")))
    rows.append(("PCIe, one direction", Figure(f"{facts.pcie_gb_per_s:,.0f} GB/s", facts.pcie_gb_per_s, "GB/s"),
                 sources("pcie_gb_per_s")))  # fmt: skip
    ledger.derive(
        "network-bandwidth", "Network bandwidth of a node", "Gbit/s / 8", f"{number(facts.internode_gbit_per_s)} Gbit/s",
        facts.internode_gbit_per_s / 8, "GB/s", text=f"{facts.internode_gbit_per_s / 8:,.4g} GB/s",
        note="hardware.internode_gbit_per_s",
    )  # fmt: skip
    rows.append(("Network of one node", ledger.figure("network-bandwidth"),
                 "problem file" if facts.nodes > 1 else "problem file; unused, there is one node"))  # fmt: skip
    if facts.host_memory_gb is not None:
        rows.append(
            ("Memory of a host", Figure(f"{facts.host_memory_gb:,.0f} GB", facts.host_memory_gb, "GB"), "problem file")
        )
    if facts.cpu_cores is not None:
        rows.append(("CPU cores of a host", Figure(f"{facts.cpu_cores:,}", facts.cpu_cores, ""), "problem file"))
    rates = facts.failures
    for words, hours in (("GPU", rates.gpu_mtbf_hours), ("node", rates.node_mtbf_hours)):
        rows.append(
            (
                f"Mean time between failures of a {words}",
                Figure(f"{hours:,.0f} h", hours, "h"),
                "failures.yaml or stated",
            )
        )
    rows.append(
        ("Mean repair time", Figure(f"{rates.repair_hours:g} h", rates.repair_hours, "h"), "failures.yaml or stated")
    )
    if facts.price_per_gpu_hour is not None:
        price = facts.price_per_gpu_hour
        rows.append(("Price of a GPU", Figure(f"{price:g} per hour", price, "per hour"), "problem file"))
    said = Text((
        "These are the facts that every figure below rests on. Host memory and CPU cores are listed as stated; the cost model "
        "does not use them.",
    ))  # fmt: skip
    return Section("hardware", "Hardware", (said, Table("hardware", COLUMNS, tuple(rows))))


class _sources:
    """Where a GPU's figure comes from: the problem file where it differs from the catalog, else the catalog's source."""

    def __init__(self, problem: Problem) -> None:
        self._gpu, self._hardware = problem.hardware.gpu, problem.hardware
        try:
            entry = catalog.entry("gpus", self._gpu.name)
        except KeyError:
            entry = {}
        self._entry = entry

    def __call__(self, field: str) -> str:
        used = getattr(self._hardware, field, None)
        used = getattr(self._gpu, field) if used is None else used
        if field not in self._entry or self._entry[field] != used:
            return "problem file"
        return str(self._entry["sources"].get(field, "catalog")).strip()
