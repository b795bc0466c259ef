"""Commands of the ``optimizer`` program, one concern a file. Each module offers ``register(app)`` or options."""

from __future__ import annotations


def main() -> None:
    """Run the ``optimizer`` command; imported on call, so that importing a command's module costs nothing else."""
    from optimizer.cli.program import main as run

    run()
