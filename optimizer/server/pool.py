"""The processes that answer, and who waits for which: a long search never stands in the way of a check."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from optimizer.questions.codes import NO, OK
from optimizer.server.answering import Reply
from optimizer.server.kept_replies import KeptReplies
from optimizer.server.worker import unpacked, work

GRACE_S = 10.0
"""Beyond its limit a search still verifies and explains; a process that takes longer is killed."""
MOST_WAITING = 16
QUICK = frozenset({"check", "why-not"})
"""Questions of which one process is always kept free."""


HURRIED = 0.5
"""Share of the limit after which an answer may be one of a search that ran out of time."""


class NoReply(Exception):
    """There is no answer; with the HTTP status and what is said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Worker(Protocol):
    """What answers, one question at a time."""

    def ask(self, name: str, body: bytes) -> Reply:
        """Waits for the answer. Raises ``EOFError`` or ``OSError`` where it ended before."""
        ...

    def end(self) -> None:
        """At once, whatever it does; ``ask`` raises then."""
        ...


class AnsweringProcess:
    """A worker in a process of its own."""

    def __init__(self, most_s: float) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process with threads is not safe
        self._connection, there = context.Pipe()
        self._process = context.Process(target=work, args=(there, most_s), daemon=True)
        self._process.start()
        there.close()
        self._warm = False

    def ask(self, name: str, body: bytes) -> Reply:
        """As of ``Worker``."""
        if not self._warm:
            self._connection.recv_bytes()
            self._warm = True
        self._connection.send_bytes(name.encode() + b"\n" + body)
        return unpacked(self._connection.recv_bytes())

    def end(self) -> None:
        """As of ``Worker``."""
        self._process.kill()
        self._process.join(5)


class Workers:
    """So many workers, each replaced where it had to be ended."""

    def __init__(self, make: Callable[[], Worker], workers: int, most_s: float) -> None:
        """Starts the workers.

        Args:
            make: starts one.
            workers: at least 2, so that one is left for what is quick.
            most_s: seconds that one question may take, and may wait.
        """
        self._make, self.most_s = make, most_s
        self._idle: asyncio.LifoQueue[Worker] = asyncio.LifoQueue()
        self._all: set[Worker] = set()
        self._searches = asyncio.Semaphore(workers - 1)
        self._threads = ThreadPoolExecutor(2 * workers, "asked")  # one whose worker was ended takes a moment to see it
        self._waiting = 0
        self._kept = KeptReplies()
        for _ in range(workers):
            self._add()

    def _add(self) -> None:
        worker = self._make()
        self._all.add(worker)
        self._idle.put_nowait(worker)

    async def ask(self, name: str, body: bytes) -> Reply:
        """The answer. Cancelled, it ends the process that works on it.

        Raises:
            NoReply: too many wait, it took too long, or the process died.
        """
        kept = self._kept.of((name, body))
        if kept is not None:
            return kept
        if self._waiting >= MOST_WAITING:
            raise NoReply(503, "too many questions wait; ask again later")
        self._waiting += 1
        searches = name not in QUICK
        try:
            async with asyncio.timeout(self.most_s):
                if searches:
                    await self._searches.acquire()
                try:
                    worker = await self._idle.get()
                except BaseException:
                    if searches:
                        self._searches.release()
                    raise
        except TimeoutError:
            raise NoReply(503, f"no process was free for {self.most_s:g} s; ask again later") from None
        finally:
            self._waiting -= 1
        answered, began = False, time.monotonic()
        try:
            async with asyncio.timeout(self.most_s + GRACE_S):
                asked = asyncio.get_running_loop().run_in_executor(self._threads, worker.ask, name, body)
                reply = await asked
            answered = True
            # What may have ended because of the time is not kept: asked again, it may be better.
            in_time = not reply.hurried and time.monotonic() - began < HURRIED * self.most_s
            if reply.status == 200 and reply.code in (OK, NO) and in_time:
                self._kept.keep((name, body), reply)
            return reply
        except TimeoutError:
            said = (
                f"took longer than {self.most_s:g} s (optimizer serve --time-limit); ask for less, or with the command"
            )
            raise NoReply(504, said) from None
        except (EOFError, OSError):
            raise NoReply(500, "the process that worked on it died; is there enough memory?") from None
        finally:
            if answered:
                self._idle.put_nowait(worker)
            else:
                self._all.discard(worker)
                worker.end()
                self._add()
            if searches:
                self._searches.release()

    def close(self) -> None:
        """End every worker."""
        for worker in self._all:
            worker.end()
        self._threads.shutdown(wait=False, cancel_futures=True)
