"""A process that answers one question after another; killed where one takes too long, or where nobody waits for it any more.

A process, not a thread: neither a search nor a verification can be stopped from outside in any other way, and what it holds goes with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection

from optimizer.server.answering import Reply

WARM = b"""{"line": {"gpu": "h100-sxm-80gb", "gpus": 2, "model": "llama3-8b", "prompt": 512, "output": 128, "rate": 1},
 "simulate": true, "fixed": {"tp": 1}}"""
"""Asked once before the first question: what is imported and parsed for it is there for every one after."""


def work(connection: Connection, most_s: float) -> None:
    """Answer until the server closes the connection.

    Args:
        connection: takes the name of a question, a line feed and its body; gives back ``packed`` replies, the first one on its own.
        most_s: seconds that one question may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server's terminal sends it to every process; the server ends us
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    from optimizer.reading import local_files
    from optimizer.server.answering import answer

    local_files.refuse_from_now_on()
    connection.send_bytes(packed(answer("check", WARM, most_s)))
    while True:
        try:
            name, _, body = connection.recv_bytes().partition(b"\n")
            connection.send_bytes(packed(answer(name.decode(), body, most_s)))
        except (EOFError, OSError):
            return


def packed(reply: Reply) -> bytes:
    """A reply as bytes: status, exit code, whether the question stated a limit, JSON."""
    return b"%d %d %d " % (reply.status, reply.code, reply.hurried) + reply.body


def unpacked(message: bytes) -> Reply:
    """The reply in such bytes."""
    status, code, hurried, body = message.split(b" ", 3)
    return Reply(int(status), int(code), body, hurried == b"1")


def _end_with_the_server() -> None:
    """A server that was killed cannot tell: without it nobody waits for an answer."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
