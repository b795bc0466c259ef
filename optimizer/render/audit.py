"""An audit as text for a terminal, as JSON data, and as the report itself with verdicts beside its claims."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any

from rich.text import Text

from optimizer.render.text import console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.audit import VERDICTS, AuditResult, Claim

STYLES = {"refuted": "bold red", "contradicted": "bold magenta", "unsupported": "yellow", "confirmed": "green"}
MARKS = {"refuted": "❌", "contradicted": "❌", "unsupported": "❔", "confirmed": "✅"}


def print_audit(result: AuditResult) -> None:
    """Every claim with its line and reason, wrong ones first; then the counts."""
    out = console()
    for verdict in VERDICTS:
        claims = [claim for claim in result.claims if claim.verdict == verdict]
        if not claims:
            continue
        out.print(Text(f"{verdict} ({len(claims)})", STYLES[verdict]))
        for claim in claims:
            out.print(Text.assemble((f"  line {claim.line:>4}  ", "dim"), claim.text))
            out.print(Text(f"             {claim.reason}", "dim" if verdict == "confirmed" else ""))
        out.print()
    out.print(Text(summary(result)))


def summary(result: AuditResult) -> str:
    """One sentence of counts."""
    counts = ", ".join(f"{result.count(verdict)} {verdict}" for verdict in VERDICTS)
    about = f" about {result.strategy}" if result.strategy else ""
    return (
        f"{result.problem}: {len(result.claims)} claims judged{about}: {counts}. "
        f"{len(result.unrecognised)} statements were not recognised and not judged."
    )


def audit_data(result: AuditResult) -> dict[str, Any]:
    """The audit as JSON-ready data; ``unrecognised`` is the number of statements left unjudged."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "audit",
        "problem": result.problem,
        "strategy": result.strategy,
        "counts": {verdict: result.count(verdict) for verdict in VERDICTS},
        "claims": [_claim_data(claim) for claim in result.claims],
        "unrecognised": len(result.unrecognised),
        "unrecognised_lines": [asdict(one) for one in result.unrecognised],
    }


def _claim_data(claim: Claim) -> dict[str, Any]:
    """A claim with the form it was read in beside it: subject, quantity, relation, value and unit, null where there is none."""
    data = asdict(claim)
    parsed = data.pop("parsed") or dict.fromkeys(("subject", "quantity", "value", "unit", "relation"))
    return {**data, **parsed}


def audit_markdown(result: AuditResult, report: str) -> str:
    """The report as it stands with verdicts beneath each claim; those of table rows and code follow the table or block."""
    by_line: dict[int, list[Claim]] = defaultdict(list)
    for claim in result.claims:
        by_line[claim.line].append(claim)
    lines = report.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    written = [f"> {summary(result)}", ""]
    waiting: list[Claim] = []
    fence = ""
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        in_table = bare.startswith("|")
        if waiting and not fence and not in_table:
            written += ["", *_notes(waiting, "", with_line=True), ""]
            waiting = []
        written.append(line)
        mark = bare[:3]
        if not fence and mark in ("```", "~~~"):
            fence = mark
        elif fence and bare.startswith(fence) and not bare.strip("`~"):
            fence = ""
        if fence or in_table or bare.startswith(("```", "~~~")):
            waiting += by_line.get(number, [])
        elif by_line.get(number):
            indent = line[: len(line) - len(line.lstrip())]
            listed = bare[:1] in "-*+" or bare.split(".")[0].isdigit()
            written += (
                _notes(by_line[number], indent + ("  " if listed else ""), with_line=False)
                if listed
                else ["", *_notes(by_line[number], indent, with_line=False), ""]
            )
    if waiting:
        written += ["", *_notes(waiting, "", with_line=True)]
    return "\n".join(written)


def _notes(claims: list[Claim], indent: str, *, with_line: bool) -> list[str]:
    """One list item for every claim."""
    return [
        f"{indent}- {MARKS[c.verdict]} **{c.verdict}** "
        f"{f'(line {c.line}, `{_inline(c.text)}`) ' if with_line else ''}{_inline(c.reason, code=False)}"
        for c in claims
    ]


def _inline(text: str, *, code: bool = True) -> str:
    """Text that cannot break out of its place."""
    safe = text.replace("\n", " ").replace("|", "/" if code else "\\|")
    return safe.replace("`", "'") if code else safe.replace("<", "&lt;")
