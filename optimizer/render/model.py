"""A checkpoint in words and tables."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from optimizer.facts.hardware import GIB
from optimizer.render.text import console


def print_model(data: dict[str, Any]) -> None:
    """What was read of a checkpoint, for a person."""
    out = console()
    out.print(f"{data['name']}: {data['architecture']}", style="bold", highlight=False)
    facts = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=False)
    facts.add_column()
    facts.add_column(overflow="fold")
    for name, value in _rows(data):
        facts.add_row(name, value)
    out.print(facts)
    layers = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    layers.add_column("layers", justify="right")
    layers.add_column("type")
    for kind in data["layers"]:
        layers.add_row(str(kind["layers"]), kind["type"])
    out.print(layers)
    parts = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    parts.add_column("component")
    parts.add_column("parameters", justify="right")
    for name, count in data["components"].items():
        parts.add_row(name, f"{count:,}")
    out.print(parts)
    for note in data["notes"]:
        out.print(f"  {note}", style="dim", highlight=False, markup=False)


def _rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    kept, quantization = data["kv_bytes_per_token"], data["quantization"]
    others = ", ".join(f"{name} {size / GIB:,.1f}" for name, size in data["weight_bytes_in"].items())
    rows = [
        ("parameters", f"{data['parameters']:,} ({data['active_parameters']:,} for a token)"),
        (
            "weights as stored",
            f"{data['weight_bytes']:,} bytes ({data['weight_bytes'] / GIB:,.2f} GiB, {data['weight_format']})",
        ),
        ("weights in GiB by format", others),
        ("quantisation", _quantization(quantization) if quantization else "none"),
        (
            "cache of a token",
            f"{kept['full']:,} bytes in full layers, {kept['window']:,} in layers with a window ({kept['format']})"
            + (f"; {kept['shared']:,} of them shared with earlier layers" if kept["shared"] else ""),
        ),
        ("state of a sequence", f"{data['state_bytes_per_sequence']:,} bytes"),
        ("longest context", f"{data['max_context_tokens']:,} tokens"),
        (
            "legal TP",
            ", ".join(map(str, data["legal_tensor_parallel"]))
            + " (experts sliced)" * (data["legal_expert_parallel"] != [1]),
        ),
    ]
    if data["legal_expert_parallel"] != [1]:
        rows.append(("legal EP", ", ".join(map(str, data["legal_expert_parallel"]))))
    for key, name in (("vision_parameters", "vision and audio towers"), ("mtp_parameters", "multi-token prediction")):
        if data[key]:
            loaded = "" if key == "vision_parameters" else ", loaded only where speculation is switched on"
            rows.append((name, f"{data[key]:,} parameters{loaded}"))
    return rows


def _quantization(stated: dict[str, Any]) -> str:
    said = [f"{stated['method']}: {stated['weight_format']}"]
    if stated["weight_block"]:
        said.append("blocks of {} × {}".format(*stated["weight_block"]))
    if stated["group_size"]:
        said.append(f"groups of {stated['group_size']}")
    if stated["activation_format"]:
        said.append(f"inputs {stated['activation_format']}")
    if stated["kv_cache_format"]:
        said.append(f"asks for a {stated['kv_cache_format']} cache")
    if stated["ignored"]:
        said.append(f"{len(stated['ignored'])} entries left in 16 bit")
    return ", ".join(said)
