"""Pieces of work on a Ray cluster: a local one, or an existing one by its address. Retries and scheduling are Ray's own."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.sweeps.key import product
from optimizer.sweeps.points import Point, failed
from optimizer.sweeps.work import Piece, solve_piece

PATIENCE_S = 10.0
RETRIES = 5
"""How often Ray starts a piece again whose worker or node died."""


def run_on_ray(pieces: Sequence[Piece], workers: int, address: str | None) -> Iterator[Point]:
    """Every point, piece by piece, from a Ray cluster.

    Args:
        workers: CPUs of the cluster that is started when there is no address.
        address: of an existing cluster, as ``ray.init`` takes it (``auto``, ``ray://head:10001``); its nodes need the same
            optimizer installed.

    Raises:
        ProblemError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _reach(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(**options, configure_logging=False, log_to_driver=False)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise ProblemError("--address", f"no Ray cluster answers at {address} ({error})") from None
    try:
        solve = ray.remote(num_cpus=1, max_retries=RETRIES)(_solve)
        asked = {solve.remote(piece, product()): piece for piece in pieces}
        waiting = list(asked)
        while waiting:
            done, waiting = ray.wait(waiting)
            for reference in done:
                try:
                    yield from ray.get(reference)
                except ray.exceptions.RayError as error:
                    said = f"the Ray workers that tried this point died ({type(error).__name__})"
                    yield from (failed(spec, said) for spec in asked[reference].specs)
    finally:
        if started:
            ray.shutdown()


def _reach(address: str | None) -> None:
    """Ask whether anybody listens at a stated host and port: Ray itself would wait for minutes."""
    matched = re.fullmatch(r"(?:ray://)?\[?([^/\]]+?)\]?:(\d{1,5})", address or "")
    if matched is None:
        return
    try:
        socket.create_connection((matched[1], int(matched[2])), timeout=PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise ProblemError("--address", f"no Ray cluster answers at {address} ({error})") from None


def _solve(piece: Piece, wanted: str) -> list[Point]:
    if product() != wanted:
        said = f"the cluster's optimizer is {product()}, this one is {wanted}; install the same on every node"
        return [failed(spec, said) for spec in piece.specs]
    return solve_piece(piece)


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ProblemError(
            "--executor", "ray is not installed; python3 -m pip install 'parallel-strategy-optimizer[ray]'"
        ) from None
    return ray
