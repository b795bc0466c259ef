"""Launch files for a chosen strategy and placement: ``launch_files`` for each of ``TARGETS``.

What each engine is told is in ``engines``; how commands become files is one module per target. What every
setting means, and where that was read, is in ``docs/deploy.md``.
"""

from optimizer.deployment.files import launch_files
from optimizer.deployment.options import TARGETS, Options
from optimizer.facts.engine_names import ENGINE_NAMES

__all__ = ["ENGINE_NAMES", "TARGETS", "Options", "launch_files"]
