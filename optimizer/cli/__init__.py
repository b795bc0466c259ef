"""Commands of the ``optimizer`` program, one concern a file. Each module offers ``register(app)`` or options."""

from __future__ import annotations


def main() -> None:
    """Run the ``optimizer`` command; imported on call, so that importing a command's module costs nothing else."""
    import sys

    from optimizer.cli.started import begin, leave, lightly

    begin()
    try:
        # Before anything that takes time: whoever stops us while we load gets no traceback either.
        from optimizer.cli.interrupted import ended, own

        own()
        lightly()
        import optimizer.cli.streams  # noqa: F401  (the command needs it before it can take a signal)
        from optimizer.cli.program import main as run
    except KeyboardInterrupt:
        print("interrupted before an answer was found", file=sys.stderr)
        sys.exit(3)
    try:
        run()
    finally:
        ended()
        leave()
