"""The catalog as data and as tables."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from optimizer.catalog import lookup as catalog
from optimizer.catalog.instances import clouds
from optimizer.render.text import console


def catalog_data(kind: str) -> list[dict[str, Any]]:
    """Every entry with its figures and their sources; models with computed and published parameter counts."""
    data = []
    for name in catalog.names(kind):
        entry = dict(catalog.entry(kind, name))
        if kind == "gpus":
            entry["process_mib"] = catalog.gpu(name).process_mib
        if kind == "models":
            model = catalog.model(name)
            entry["parameters"] = model.parameters
            entry["active_parameters"] = model.active_parameters
            entry["components"] = model.components()
            entry["architecture"] = model.architecture
            entry["max_context_tokens"] = model.max_context_tokens
            entry["native_weight_format"] = model.native_weight_format
        data.append(entry)
    return data


def instances_data() -> list[dict[str, Any]]:
    """Every instance type with what its cloud states of it, and the source."""
    return [
        {"name": name, "cloud": cloud["title"], **fields, "source": cloud["source"]}
        for cloud in clouds()
        for name, fields in cloud["instances"].items()
    ]


def print_instances(data: list[dict[str, Any]]) -> None:
    """A table of the instance types."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("name", "cloud", "GPUs", "GPU", "network Gbit/s", "cores", "host GB"):
        table.add_column(title, justify="left" if title in ("name", "cloud", "GPU") else "right", no_wrap=True)
    for one in data:
        told = [one.get(key, "–") for key in ("network_gbit_per_s", "cpu_cores", "host_memory_gb")]
        table.add_row(one["name"], one["cloud"], str(one["gpus"]), one["gpu"], *[str(value) for value in told])
    out = console(width=140)
    out.print(table)
    out.print("\nSources: add --json.", style="dim")


def print_catalog(kind: str, data: list[dict[str, Any]]) -> None:
    """A table of the entries."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    if kind == "gpus":
        for title in (
            "name",
            "memory MiB",
            "to a process",
            "capability",
            "GB/s",
            "TFLOP/s 16-bit",
            "fp8",
            "fp4",
            "NVLink GB/s",
            "domain",
            "PCIe GB/s",
        ):
            table.add_column(title, justify="left" if title == "name" else "right", no_wrap=True)
        for gpu in data:
            rates = gpu["dense_tflops"]
            cells = [
                gpu["memory_mib"],
                gpu["process_mib"],
                gpu["compute_capability"],
                gpu["memory_bandwidth_gb_per_s"],
                rates.get("bf16", rates.get("fp16")),
            ]
            cells += [rates.get("fp8", "–"), rates.get("fp4", "–"), gpu["nvlink_gb_per_s"], gpu["nvlink_domain_gpus"]]
            table.add_row(gpu["name"], *[str(cell) for cell in [*cells, gpu["pcie_gb_per_s"]]])
    else:
        for title in ("name", "architecture", "parameters", "active", "published", "context", "checkpoint"):
            table.add_column(
                title, justify="left" if title in {"name", "architecture", "checkpoint"} else "right", no_wrap=True
            )
        for model in data:
            counts = [
                model["parameters"],
                model["active_parameters"],
                model["published_parameters"],
                model["max_context_tokens"],
            ]
            table.add_row(
                model["name"], model["architecture"], *[f"{n:,}" for n in counts], model["native_weight_format"]
            )
    out = console(width=170)
    out.print(table)
    out.print("\nSources of every figure: add --json.", style="dim")
