"""Fault tolerance: what survives which loss, availability, recovery time, blast radius."""

from __future__ import annotations

from optimizer.explain.common.numbers import count
from optimizer.facts.recovery import RecoveryFacts
from optimizer.reporting.derive.faults import Loss, carries, derive_availability, derive_recovery, losses, rate_left
from optimizer.reporting.document import Block, Column, Figure, Section, Status, Table, Text
from optimizer.reporting.subject import Subject


def faults_section(subject: Subject, recovery: RecoveryFacts) -> Section:
    """Every single and double loss of GPUs and nodes; how often, how long, how far."""
    derive_availability(subject)
    derive_recovery(subject, recovery)
    blocks: list[Block] = [_domains(subject)]
    table = _losses(subject)
    if table is not None:
        blocks += [table, *_stricter(subject)]
    blocks += [_served(subject), _recovery(subject), _radius(subject)]
    return Section("faults", "Fault tolerance", tuple(blocks))


def _domains(subject: Subject) -> Text:
    if subject.ranks > 1:
        coupled = (
            f"{subject.ranks} replicas form one engine instance, because their experts are spread over all of them: "
            f"it fails as one with any of its {subject.instance_gpus} GPUs."
        )
    else:
        coupled = f"Each replica is an engine instance of its own and fails with any of its {count(subject.instance_gpus, 'GPU')}."
    return Text(
        (f"There {'is' if subject.instances == 1 else 'are'} {count(subject.instances, 'engine instance')}. {coupled}",)
    )


def _losses(subject: Subject) -> Table | None:
    placement = subject.placement
    if placement is None:
        return None
    rows = []
    for loss in losses(placement, subject.hardware.nodes, subject.hardware.gpus):
        share = (subject.instances - loss.instances) / subject.instances
        fine = carries(subject, loss.instances)
        left = rate_left(subject, loss.instances)
        rows.append((
            loss.what, f"{loss.cases:,} of {loss.of:,}", Figure(str(loss.instances), loss.instances, "instances"),
            Figure(f"{share:.0%}", share * 100, "%", _share(subject, loss)), left,
            Status("pass" if fine else "fail", "carries the demand" if fine else _short(subject, loss)),
        ))  # fmt: skip
    columns = (
        Column("loss", "Loss"), Column("cases", "Ways", right=True), Column("instances", "Instances lost", right=True),
        Column("left", "Capacity left", right=True), Column("rate", "Rate that is left within limits", right=True),
        Column("outcome", f"Full demand of {subject.problem.workload.requests_per_s:g} requests/s"),
    )  # fmt: skip
    return Table("losses", columns, tuple(rows), "Every single and double loss, by how many engine instances it takes")


def _stricter(subject: Subject) -> list[Block]:
    """Where a rule counts more instances lost than any real pair of nodes takes."""
    survive, counted = subject.problem.requirements.survive, int(subject.down.lost_with_two_nodes[0])
    assert subject.placement is not None
    pairs = losses(subject.placement, subject.hardware.nodes, subject.hardware.gpus)
    worst = max((loss.instances for loss in pairs if loss.what == "2 nodes"), default=0)
    if survive.node < 2 or not worst or worst >= counted:
        return []
    said = (
        f"Rule survive_node counts twice the worst single node, {counted} instances, because instances straddle nodes; the "
        f"worst real pair takes {worst}. The rule is the stricter of the two."
    )
    return [Text((said,))]


def _share(subject: Subject, loss: Loss) -> str:
    left, all_of_them = subject.instances - loss.instances, subject.instances
    id = f"left-{loss.instances}"
    subject.ledger.derive(
        id, f"Capacity left without {count(loss.instances, 'instance')}", "instances left / instances",
        f"{left} / {all_of_them}", left / all_of_them * 100, "%",
    )  # fmt: skip
    return id


def _short(subject: Subject, loss: Loss) -> str:
    return "nothing is left" if loss.instances >= subject.instances else "breaks a limit"


def _served(subject: Subject) -> Text:
    ledger = subject.ledger
    parts: list[str | Figure] = [
        "All engine instances are up ", ledger.figure("all-up"), " of the time. Failures counted, ",
        ledger.figure("availability"), " of the requests are served",
    ]  # fmt: skip
    if not subject.metrics.availability:
        parts.append(" (the demand is not carried even with every instance up, which counts as nothing served)")
    if "between-failures" in ledger:
        parts += ["; some GPU or host in use fails about every ", ledger.figure("between-failures")]
    parts.append(
        ". Rates are those of synchronous training clusters where the problem file states none, and differ by up to 3.7 times "
        "between inventories."
    )
    return Text(tuple(parts))


def _recovery(subject: Subject) -> Text:
    ledger, idle = subject.ledger, subject.hardware.gpus - subject.strategy.gpus
    spare = (
        f"{count(idle, 'GPU')} stand idle, enough for a new instance where they lie together: it serves again after "
        if idle >= subject.instance_gpus
        else "No spare GPUs are there for a whole instance. After a crash of software, or once a part is replaced, it restarts in "
    )
    parts: list[str | Figure] = [
        "Recovery time: ", spare, ledger.figure("recovery"), " (engine start, and ", ledger.figure("weight-loading"),
        " to read ", ledger.figure("instance-weights"), " of weights; assumptions and sources in the derivation). ",
        "A broken part is away for ", ledger.figure("repair"), " on average, restart included.",
    ]  # fmt: skip
    return Text(tuple(parts))


def _radius(subject: Subject) -> Text:
    worst = int(subject.down.lost_with_node[0])
    ledger, share = subject.ledger, 1 / subject.instances
    one = ledger.derive(
        "blast-gpu", "Blast radius of one GPU", "1 / instances", f"1 / {subject.instances}", share * 100, "%",
    )  # fmt: skip
    node = ledger.derive(
        "blast-node", "Blast radius of one node, worst case", "instances lost with one node / instances",
        f"{worst} / {subject.instances}", worst * share * 100, "%", note="docs/model.md, section 5",
    )  # fmt: skip
    parts: list[str | Figure] = [
        "Blast radius: one GPU takes ", one, " of the service with it, one node ", node, " at worst. ",
    ]  # fmt: skip
    if "mean-in-progress" in ledger:
        waiting = ledger.value("mean-in-progress") * subject.ranks
        lost = ledger.derive(
            "lost-requests", "Requests in progress on one engine instance, mean", "E[n] × replicas of an instance",
            f"{ledger.value('mean-in-progress'):.9g} × {subject.ranks}", waiting, "requests", text=f"{waiting:,.0f} requests",
            inputs=("mean-in-progress",),
        )  # fmt: skip
        parts += ["A lost instance takes about ", lost, " in progress or waiting with it, which clients have to send again; serving keeps "
                  "no other state, so nothing else is lost."]  # fmt: skip
    return Text(tuple(parts))
