"""What a figure is of where no list has its name: the entry of the ledger whose words overlap most with those around it."""

from optimizer.auditing.scored.judge import judge_scored

__all__ = ["judge_scored"]
