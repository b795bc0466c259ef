"""Is the answer true? Recomputed from the facts in exact arithmetic, without the model or the search."""

from optimizer.verify.uniform.check import verify_answer

__all__ = ["verify_answer"]
