"""Judges the claims of a person's written report against the facts of a problem: ``audit(report, problem)``."""

from optimizer.auditing.judge import audit
from optimizer.results.audit import AuditResult, Claim, Verdict

__all__ = ["AuditResult", "Claim", "Verdict", "audit"]
