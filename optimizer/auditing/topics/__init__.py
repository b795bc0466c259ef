"""What a figure of a sentence is of, told by the words around it, and judged by the ledger's values of that topic."""

from optimizer.auditing.topics.judge import judge_topics

__all__ = ["judge_topics"]
