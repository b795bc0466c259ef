"""Judges the claims of a person's written report against the facts of a problem: ``audit(report, problem)``."""

from optimizer.explain.audit.judge import audit
from optimizer.explain.audit.result import AuditResult, Claim, Verdict

__all__ = ["AuditResult", "Claim", "Verdict", "audit"]
