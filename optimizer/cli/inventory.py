"""``solve`` and ``check`` on a problem with ``cluster:`` (an inventory): reads, calls the public API, prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from optimizer.cli.repairs import say_none, tell

if TYPE_CHECKING:
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import Fixed
    from optimizer.results.inventory import FleetAnswer


def run_if_inventory(
    path: str,
    as_json: bool,
    time_limit_s: float | None,
    fixed: Fixed | None,
    unused: Mapping[str, object],
    write_repair: Callable[[Stated, FleetAnswer], str | None],
    *,
    repairs: bool = True,
) -> tuple[str, bool] | None:
    """Solve (or check, with decisions fixed) and print; the status and whether the verifier agrees. None for other problems.

    Args:
        repairs: look for the least changes that help where nothing works.
        write_repair: writes the file with a repair made where one was asked for, and says so.
        unused: options that inventories do not take, by name; refused where one is set.

    Raises:
        ProblemError: the file cannot be used, or an option does not apply.
    """
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.files import read_mapping
    from optimizer.reading.inventory_file import inventory_from_dict, is_inventory
    from optimizer.reading.stated import Stated

    values = read_mapping(Path(path), path)
    if not is_inventory(values):
        return None
    for option, value in unused.items():
        if value:
            raise ProblemError(option, "is not taken with cluster; it speaks of one pool of equal replicas")
    from optimizer.questions.inventory import check_fleet, solve_fleet
    from optimizer.render.progress import LiveLine

    problem = inventory_from_dict(values, default_name=Path(path).stem, folder=Path(path).parent)
    with LiveLine() as live:
        if fixed is None:
            answer = solve_fleet(problem, time_limit_s=time_limit_s, progress=live)
        else:
            answer = check_fleet(problem, fixed, time_limit_s=time_limit_s, progress=live, repairs=repairs)
    file = Stated(values, Path(path).parent, Path(path).stem)
    said = write_repair(file, answer)
    if as_json:
        from optimizer.render.as_json import dumps
        from optimizer.render.inventory import fleet_data

        typer.echo(dumps(fleet_data(answer)))
    else:
        from optimizer.render.inventory import print_fleet

        print_fleet(answer)
        say_none(answer, asked=repairs)
    tell(said)
    return answer.status, answer.verification.passed
