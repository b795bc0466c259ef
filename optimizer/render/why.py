"""``why-not``, ``why-this`` and ``how-sure`` as people read them, and as plain JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.text import Text

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.explain.uniform.how_sure import HowSure, Range
from optimizer.explain.uniform.switch import Switch
from optimizer.explain.uniform.why_not import WhyNot
from optimizer.explain.uniform.why_this import WhyThis, Worth
from optimizer.render.as_json import repair_data, repairs_data, strategy_data
from optimizer.render.text import console, repair_lines, table_of
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.pools_why import PoolsHowSure, PoolsWhyNot, PoolsWhyThis
from optimizer.results.why import ChainWhyNot, GroupWorth, InventoryHowSure, InventoryWhyNot, InventoryWhyThis

NOTHING_MS = 1e-5


def print_why_not(found: WhyNot | InventoryWhyNot | ChainWhyNot | PoolsWhyNot) -> None:
    """The verdict, its reasons, and what would have to change."""
    out = console()
    style = {"not allowed": "bold red", "worse": "bold yellow", "tie": "bold yellow", "best": "bold green"}
    out.print(Text(f"{found.problem}: {found.verdict}", style.get(found.verdict, "bold")))
    for sentence in found.sentences:
        out.print(Text("  " + sentence))
    if isinstance(found, PoolsWhyNot):
        for number, repair in enumerate(found.repairs, start=1):
            out.print(Text(f"  Repair {number}. {repair.sentence}"))
    elif not isinstance(found, ChainWhyNot):
        repair_lines(out, found.repairs, "Repairs, each the least change, solved again and verified:")


def print_why_this(found: WhyThis | InventoryWhyThis | PoolsWhyThis) -> None:
    """What the optimum rests on, and what each limit is worth."""
    out = console()
    if isinstance(found, InventoryWhyThis | PoolsWhyThis):
        _print_groups(found)
        return
    name = found.strategy.label if found.strategy else "no strategy"
    out.print(Text(f"{found.problem}: why {name}", "bold green" if found.strategy else "bold red"))
    for sentence in found.sentences:
        out.print(Text("  " + sentence))
    if not found.worths:
        return
    unit = next((worth.first_unit for worth in found.worths if worth.first_unit), "")
    first = [(f"gain, {unit}", True)] if unit else []
    rows = table_of(("if there were … (solved again)", False), ("best then", False), *first, ("gain per request", True))
    for worth in found.worths:
        name = worth.strategy.label if worth.strategy else "no strategy"
        rows.add_row(worth.words, name, *([_first(worth)] if unit else []), _gain(worth))
    out.print()
    out.print(rows)


def _print_groups(found: InventoryWhyThis | PoolsWhyThis) -> None:
    out = console()
    name = found.label or "no instances"
    out.print(Text(f"{found.problem}: why {name}", "bold green" if found.label else "bold red"))
    for sentence in found.sentences:
        out.print(Text("  " + sentence))
    if not found.worths:
        return
    rows = table_of(
        ("if there were … (solved again)", False), ("best then", False), ("carries", True), ("gain per request", True)
    )
    for worth in found.worths:
        carried = "" if worth.max_request_rate is None else f"{worth.max_request_rate:,.2f} requests/s"
        rows.add_row(worth.words, worth.label or worth.status, carried, _gain(worth))
    out.print()
    out.print(rows)


def _gain(worth: Worth | GroupWorth) -> str:
    if worth.gain_ms is None:
        return "not feasible"
    if abs(worth.gain_ms) < NOTHING_MS:
        return "nothing"
    return f"{'−' if worth.gain_ms < 0 else ''}{milliseconds(abs(worth.gain_ms))}"


def _first(worth: Worth) -> str:
    if worth.gain_first is None:
        return "not feasible"
    return "nothing" if not worth.gain_first else amount(worth.gain_first, worth.first_unit)


def print_how_sure(found: HowSure | InventoryHowSure | PoolsHowSure) -> None:
    """The ranges, nearest switch first."""
    out = console()
    if isinstance(found, InventoryHowSure | PoolsHowSure):
        out.print(Text(f"{found.problem}: how sure is {found.label or 'no instances'}", "bold"))
        for sentence in found.sentences:
            out.print(Text("  " + sentence))
        said = "Each value named was solved anew; between two values that were tried another set might be best."
        out.print(Text("  " + said, "dim"))
        return
    name = found.strategy.label if found.strategy else "no strategy"
    out.print(Text(f"{found.problem}: how sure is {name}", "bold"))
    for sentence in found.sentences:
        out.print(Text("  " + sentence))
    out.print(
        Text(
            "  Each fact was moved alone, outward in steps up to four times its value or a quarter of it, and every candidate "
            "compared; a change and its reversal between two steps would not be seen. Brackets are within 1 % of the value.",
            "dim",
        )
    )


def why_not_data(found: WhyNot | InventoryWhyNot | ChainWhyNot | PoolsWhyNot) -> dict[str, Any]:
    """Everything in a verdict as JSON-ready data."""
    if isinstance(found, ChainWhyNot):
        data = asdict(found)
        data["explanation"] = list(data.pop("sentences"))
        return {"schema_version": SCHEMA_VERSION, "kind": "chain", **data}
    if isinstance(found, PoolsWhyNot):
        data = _of_pools(found)
        data["repairs"] = repairs_data(found.repairs)
        return data
    if isinstance(found, InventoryWhyNot):
        data = asdict(found)
        data["explanation"] = list(data.pop("sentences"))
        data["repairs"] = repairs_data(found.repairs)
        return {"schema_version": SCHEMA_VERSION, "kind": "inventory", "decided_by": None, "flip": None, **data}
    flip = found.flip
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "uniform",
        "problem": found.problem,
        "verdict": found.verdict,
        "foil": strategy_data(found.foil),
        "optimum": strategy_data(found.optimum),
        "difference_ms": found.difference_ms,
        "difference_terms": found.difference_terms,
        "decided_by": found.decided_by,
        "conflicts": [asdict(conflict) for conflict in found.conflicts],
        "repairs": [repair_data(repair) for repair in found.repairs],
        "flip": None
        if flip is None
        else {
            "field": flip.change.field,
            "from": flip.change.old,
            "to": flip.change.new,
            "not_yet": flip.not_yet,
            "sentence": flip.sentence,
        },
        "explanation": list(found.sentences),
        "verification": asdict(found.verification) if found.verification is not None else None,
    }


def _of_pools(found: PoolsWhyNot | PoolsWhyThis | PoolsHowSure) -> dict[str, Any]:
    data = asdict(found)
    data["explanation"] = list(data.pop("sentences"))
    return {"schema_version": SCHEMA_VERSION, "kind": data.pop("kind"), **data}


def why_this_data(found: WhyThis | InventoryWhyThis | PoolsWhyThis) -> dict[str, Any]:
    """Everything in a reason as JSON-ready data."""
    if isinstance(found, PoolsWhyThis):
        return _of_pools(found)
    if isinstance(found, InventoryWhyThis):
        data = asdict(found)
        data["explanation"] = list(data.pop("sentences"))
        return {"schema_version": SCHEMA_VERSION, "kind": "inventory", "strategy": None, "against": [], **data}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "uniform",
        "problem": found.problem,
        "strategy": strategy_data(found.strategy),
        "objective_ms": found.objective_ms,
        "against": [{"tier": a.tier, "rules": list(a.members), "sentence": a.sentence} for a in found.against],
        "worths": [
            {
                "words": worth.words,
                "changes": dict(worth.changes),
                "strategy": strategy_data(worth.strategy),
                "objective_ms": worth.objective_ms,
                "gain_ms": worth.gain_ms,
                "gain_first": worth.gain_first,
                "first_unit": worth.first_unit or None,
            }
            for worth in found.worths
        ],
        "explanation": list(found.sentences),
        "verification": asdict(found.verification) if found.verification is not None else None,
    }


def how_sure_data(found: HowSure | InventoryHowSure | PoolsHowSure) -> dict[str, Any]:
    """Everything in the ranges as JSON-ready data."""
    if isinstance(found, PoolsHowSure):
        return {**_of_pools(found), "strategy": None}
    if isinstance(found, InventoryHowSure):
        data = asdict(found)
        data["explanation"] = list(data.pop("sentences"))
        return {"schema_version": SCHEMA_VERSION, "kind": "inventory", "strategy": None, **data}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "uniform",
        "problem": found.problem,
        "label": found.strategy.label if found.strategy else None,
        "strategy": strategy_data(found.strategy),
        "ranges": [_range_data(one) for one in found.ranges],
        "explanation": list(found.sentences),
        "verification": asdict(found.verification) if found.verification is not None else None,
    }


def _range_data(one: Range) -> dict[str, Any]:
    return {
        "field": one.knob.field,
        "fact": one.knob.words,
        "unit": one.knob.unit,
        "value": one.knob.value,
        "low": one.low,
        "high": one.high,
        "below": _switch_data(one.below),
        "above": _switch_data(one.above),
    }


def _switch_data(switch: Switch | None) -> dict[str, Any] | None:
    if switch is None:
        return None
    there = switch.there.strategy if switch.there is not None else None
    return {"inside": switch.inside, "outside": switch.outside, "there": strategy_data(there)}
