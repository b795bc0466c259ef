"""Runs the command line and sends itself SIGINT once a phase has begun; the rest is the product."""

from __future__ import annotations

import os
import signal
import sys
import threading

from optimizer.render import progress as module
from optimizer.search.uniform.solve import Progress


def main() -> None:
    phase, delay, times = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    left = [times]
    original = module.LiveLine.__call__

    def strike() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def noted(line: module.LiveLine, said: Progress) -> None:
        original(line, said)
        reached = said.incumbent is not None if phase == "incumbent" else said.phase == phase
        if reached and left[0]:
            left[0] -= 1
            if not delay:
                strike()
                return
            # A daemon: a command that ends before is not struck on its way out.
            timer = threading.Timer(delay, strike)
            timer.daemon = True
            timer.start()

    module.LiveLine.__call__ = noted  # type: ignore[method-assign]
    from optimizer.cli.program import main as run

    run(sys.argv[4:])


main()
