"""``optimizer detect``: the hardware part of a problem file, from this machine or from saved nvidia-smi output.

Exit codes: 0 written · 2 bad input, no GPU, or none free.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.detect.machine import SeenHost

Files = list[str]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)


def detect(
    smi: Annotated[
        Files | None,
        typer.Option("--smi", help="Saved nvidia-smi -q -x (or -L) of a host; once for each host.", metavar="FILE"),
    ] = None,
    topo: Annotated[
        Files | None,
        typer.Option("--topo", help="Saved nvidia-smi topo -m, one for each --smi in order.", metavar="FILE"),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="File to write; left out, standard output.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of YAML.")] = False,
    ignore_busy: Annotated[
        bool, typer.Option("--ignore-busy", help="Plan with GPUs that other processes use now.")
    ] = False,
    internode: Annotated[
        float | None,
        typer.Option("--internode-gbit-per-s", help="Network of one host, which nvidia-smi does not tell."),
    ] = None,
) -> None:
    """Write the hardware part of a problem file: GPU types, free GPUs, NVLink domains and bandwidths."""
    from optimizer.detect.hardware import parts_of
    from optimizer.detect.inventory import detected
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.paths import is_there
    from optimizer.render.detected import json_lines, yaml_lines
    from optimizer.render.files import write_out

    if internode is not None and not 0 < internode <= 1e6:
        raise ProblemError(
            "--internode-gbit-per-s", f"{internode} is not allowed; Gbit/s above 0 and at most 1,000,000"
        )
    if out is not None and is_there(out) and not force:
        raise ProblemError("--out", f"{out} exists already; choose another name or add --force")
    if not smi and not topo:
        from optimizer.detect.nvml import this_host

        hosts = [this_host()]
    else:
        hosts = _saved(smi or [], topo or [])
    found = detected(parts_of(hosts, busy_counts=not ignore_busy), internode)
    write_out(json_lines(found) if json else yaml_lines(found), out)
    if out is not None:
        typer.echo(f"Wrote {out}.", err=True)


def _saved(smi: list[str], topo: list[str]) -> list[SeenHost]:
    from optimizer.detect.listing import is_listing, parse_listing
    from optimizer.detect.machine import SeenHost
    from optimizer.detect.slices import is_split
    from optimizer.detect.smi import parse_smi, read_text
    from optimizer.detect.topo import parse_topo
    from optimizer.facts.errors import ProblemError

    if topo and len(topo) != len(smi):
        raise ProblemError("--topo", f"{len(topo)} given for {len(smi)} of --smi; give one for each, in the same order")
    hosts = []
    for number, (path, name) in enumerate(zip(smi, _host_names(smi), strict=True)):
        text = read_text(path, "--smi")
        gpus, lost = (parse_listing(text, path), ()) if is_listing(text) else parse_smi(text, path)
        if topo:
            links = parse_topo(read_text(topo[number], "--topo"), topo[number], len(gpus))
        elif sum(not is_split(gpu) for gpu in gpus) <= 1:
            links = {}
        else:
            raise ProblemError(
                "--topo", f"is missing: how the {len(gpus)} GPUs of {name} are linked is in nvidia-smi topo -m only"
            )
        hosts.append(SeenHost(name, gpus, links, lost))
    return hosts


def _host_names(paths: list[str]) -> list[str]:
    """The output does not name its host, so the file does; the folder too where files are called alike."""
    from optimizer.facts.errors import ProblemError

    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        names = [f"{Path(path).parent.name}-{name}" for path, name in zip(paths, names, strict=True)]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise ProblemError("--smi", f"two files are called {name!r}; name each after its host")
    return names
