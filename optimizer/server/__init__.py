"""The same questions over HTTP, for one machine and whoever works on it (``docs/serve.md``).

``asked`` says what a request may hold, ``answering`` answers one, ``worker`` is the process that does it, ``pool`` keeps such processes,
``guard`` refuses requests that no page of ours sent, and ``app`` puts them together.
"""
