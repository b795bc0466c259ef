"""Answers that were given, kept for whoever asks the same again."""

from __future__ import annotations

from collections import OrderedDict

from optimizer.server.answering import Reply

MOST_KEPT_BYTES = 32 << 20


class KeptReplies:
    """Answers by their questions, the least used forgotten first: the same question has the same answer."""

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most, self._size = most_bytes, 0
        self._replies: OrderedDict[tuple[str, bytes], Reply] = OrderedDict()

    def of(self, question: tuple[str, bytes]) -> Reply | None:
        """The answer that was given; None where none is kept."""
        reply = self._replies.get(question)
        if reply is not None:
            self._replies.move_to_end(question)
        return reply

    def keep(self, question: tuple[str, bytes], reply: Reply) -> None:
        """Keep an answer as long as there is room."""
        before = self._replies.pop(question, None)
        if before is not None:
            self._size -= len(question[1]) + len(before.body)
        self._replies[question] = reply
        self._size += len(question[1]) + len(reply.body)
        while self._size > self._most:
            (_, body), old = self._replies.popitem(last=False)
            self._size -= len(body) + len(old.body)
