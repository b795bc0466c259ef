"""Launch files for a chosen strategy and placement: ``launch_files`` for shell, Ray, Kubernetes and Compose.

What each engine is told is in ``vllm`` and ``sglang``; how commands become files is one module per target. What every
setting means, and where that was read, is in ``docs/deploy.md``.
"""

from optimizer.deployment.files import launch_files
from optimizer.deployment.options import TARGETS, Options
from optimizer.engines.registry import ENGINES

__all__ = ["ENGINES", "TARGETS", "Options", "launch_files"]
