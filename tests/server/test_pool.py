"""Who waits for whom: a search does not stand in the way of a check, and what nobody waits for ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from optimizer.server.answering import Reply, answer
from optimizer.server.kept_replies import KeptReplies
from optimizer.server.pool import AnsweringProcess, NoReply, Workers
from tests.server.here import SMALL


class Slow:
    """A worker whose searches go on until it is ended, and whose checks are there at once."""

    def __init__(self, made: list[Slow]) -> None:
        self.ended = threading.Event()
        self.asked: list[str] = []
        made.append(self)

    def ask(self, name: str, body: bytes) -> Reply:
        self.asked.append(name)
        if name == "check":
            return Reply(200, 0, body, hurried=b"limit" in body)
        self.ended.wait(20)
        raise EOFError

    def end(self) -> None:
        self.ended.set()


def run(test: Callable[[Workers, list[Slow]], Coroutine[Any, Any, None]], most_s: float = 20) -> None:
    made: list[Slow] = []

    async def all_of_it() -> None:
        pool = Workers(lambda: Slow(made), 2, most_s)
        try:
            await test(pool, made)
        finally:
            pool.close()

    asyncio.run(all_of_it())


def test_a_search_does_not_hold_up_a_check() -> None:
    async def test(pool: Workers, made: list[Slow]) -> None:
        searches = [asyncio.create_task(pool.ask("solve", b"%d" % i)) for i in range(3)]
        await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(pool.ask("check", b"1"), 5)).body == b"1"
        assert sum("solve" in one.asked for one in made) == 1, "one process is kept for what is quick"
        for one in searches:
            one.cancel()
        await asyncio.gather(*searches, return_exceptions=True)

    run(test)


def test_what_nobody_waits_for_ends_and_is_replaced() -> None:
    async def test(pool: Workers, made: list[Slow]) -> None:
        for number in range(3):
            search = asyncio.create_task(pool.ask("solve", b""))
            await asyncio.sleep(0.02)
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)
            assert sum(one.ended.is_set() for one in made) == number + 1 and len(made) == number + 3

    run(test)


def test_what_takes_too_long_ends() -> None:
    async def test(pool: Workers, made: list[Slow]) -> None:
        with pytest.raises(NoReply) as refused:
            await pool.ask("solve", b"")
        assert refused.value.status == 504 and sum(one.ended.is_set() for one in made) == 1
        assert (await pool.ask("check", b"2")).body == b"2"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optimizer.server.pool.GRACE_S", 0.05)
        run(test, most_s=0.05)


def test_too_many_are_turned_away() -> None:
    async def test(pool: Workers, made: list[Slow]) -> None:
        many = [asyncio.create_task(pool.ask("solve", b"%d" % i)) for i in range(30)]
        await asyncio.sleep(0.1)
        turned_away = [one.exception() for one in many if one.done()]
        assert turned_away and all(isinstance(one, NoReply) and one.status == 503 for one in turned_away)
        for one in many:
            one.cancel()
        await asyncio.gather(*many, return_exceptions=True)

    run(test)


def test_the_same_question_is_answered_from_memory() -> None:
    async def test(pool: Workers, made: list[Slow]) -> None:
        for body in (b"1", b"1", b"2", b"a limit", b"a limit"):
            await pool.ask("check", body)
        assert sum(len(one.asked) for one in made) == 4

    run(test)


def test_no_more_is_kept_than_there_is_room_for() -> None:
    kept = KeptReplies(100)
    for number in range(10):
        kept.keep(("check", b"%d" % number), Reply(200, 0, b"x" * 39))
    assert [kept.of(("check", b"%d" % number)) is not None for number in range(10)] == [False] * 8 + [True] * 2


def test_what_is_kept_twice_takes_room_once() -> None:
    kept = KeptReplies(100)
    for _ in range(10):
        kept.keep(("check", b"1"), Reply(200, 0, b"x" * 39))
    kept.keep(("check", b"2"), Reply(200, 0, b"x" * 39))
    assert kept.of(("check", b"1")) is not None and kept.of(("check", b"2")) is not None


def test_only_a_stated_limit_makes_an_answer_hurried() -> None:
    named = {"problem": {**SMALL, "name": "time_limit_s"}, "fixed": {"tp": 1}, "repairs": False}
    assert not answer("check", json.dumps(named).encode(), 30).hurried
    assert answer("check", json.dumps({**named, "time_limit_s": 20}).encode(), 30).hurried


def test_a_process_answers_reads_no_file_and_leaves_nothing() -> None:
    process = AnsweringProcess(30)
    try:
        body = json.dumps({"problem": SMALL, "fixed": {"tp": 1}, "repairs": False}).encode()
        reply = process.ask("check", body)
        assert reply.status == 200 and json.loads(reply.body)["strategy"]["tensor_parallel"] == 1
        named = process.ask("solve", json.dumps({"problem": {**SMALL, "model": "/etc/passwd"}}).encode())
        assert named.status == 400 and b"reads none" in named.body
        long = json.dumps({"problem": SMALL, "gpus": "1..64"}).encode()
        found: list[BaseException] = []

        def ask() -> None:
            try:
                process.ask("sweep", long)
            except (EOFError, OSError) as error:
                found.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.3)
        process.end()
        asking.join(5)
        assert found and not process._process.is_alive()
    finally:
        process.end()
