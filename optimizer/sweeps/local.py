"""Pieces of work on this machine: one process, or several through ``concurrent.futures``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace

from optimizer.sweeps.points import Point, failed
from optimizer.sweeps.work import Kept, Piece, solve_piece, solve_specs

LOOK_S = 0.5
"""How often a worker looks whether its parent is still there: a killed parent cannot tell."""


def run_here(pieces: Sequence[Piece]) -> Iterator[Point]:
    """Every point, one after the other, in this process."""
    kept: Kept = {}
    for piece in pieces:
        yield from solve_specs(piece, kept)


def run_in_processes(pieces: Sequence[Piece], workers: int) -> Iterator[Point]:
    """Every point, piece by piece, from so many processes.

    A process that dies takes the others' work with it; what is missing is tried again, each piece alone and then each point
    alone, and a point whose process dies every time is a failed point.
    """
    left = list(pieces)
    try:
        for done, points in _run(left, workers):
            left.remove(done)
            yield from points
    except BrokenProcessPool:
        pass
    for piece in left:
        yield from _alone(piece)


def _alone(piece: Piece) -> Iterator[Point]:
    """A piece in a process of its own; where that dies too, each of its points in one of its own."""
    try:
        for _, points in _run([piece], 1):
            yield from points
    except BrokenProcessPool:
        if len(piece.specs) == 1:
            yield failed(piece.specs[0], "the process that solved this point died; is there enough memory?")
            return
        for spec in piece.specs:
            yield from _alone(replace(piece, specs=(spec,)))


def _run(pieces: Sequence[Piece], workers: int) -> Iterator[tuple[Piece, list[Point]]]:
    # A forked process needs no import and no importable main module.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, context, initializer=_follow_the_parent, initargs=(os.getpid(),))
    try:
        with _interrupts_later():
            asked: dict[Future[list[Point]], Piece] = {pool.submit(solve_piece, piece): piece for piece in pieces}
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield asked[future], future.result()
    finally:
        # Nobody waits for what is still being solved when the caller has stopped.
        running = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Ctrl-C waits while processes are started: in the middle of a fork it would be lost."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_the_parent(parent: int) -> None:
    """What every worker does first: interrupts are the parent's to handle, and without the parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
