"""What every request passes: from our own page or a program on this machine, never from another page in the same browser.

A page anywhere can send requests to a server on loopback, and by DNS rebinding (Jackson and others, Protecting Browsers from DNS
Rebinding Attacks, CCS 2007) even read the answers as if they came from its own name. The name in ``Host`` tells: it is theirs, not ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from ipaddress import ip_address
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer. Styles may stand inline, as a report's pictures have them; scripts may not, and nothing comes from elsewhere."""


class Guard:
    """Refuses requests with another name for us, or from another origin; puts ``HEADERS`` on the rest."""

    def __init__(self, app: App, names: Iterable[str] = ()) -> None:
        """
        Args:
            app: what answers.
            names: host names that are ours beside ``localhost``. An address is nobody's name: a page can be rebound to it only by name.
        """
        self._app = app
        self._names = frozenset({"localhost", *(name.lower().rstrip(".") for name in names)})

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refused(scope["method"], scope["headers"])
        if refused is not None:
            await _say(send, refused)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_headers()]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _refused(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Why a request is refused; None where it is not."""
        said: dict[str, list[str]] = {}
        for name, value in headers:
            said.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = said.get("host", [])
        if len(hosts) != 1 or not self._ours(hosts[0]):
            return "Host is not a name of this server; optimizer serve --allow-host NAME adds one"
        origin = said.get("origin")
        if origin is not None and origin not in ([f"http://{hosts[0]}"], [f"https://{hosts[0]}"]):
            return "Origin is another page than this server's"
        if method not in ("GET", "HEAD") and said.get("sec-fetch-site", ["none"])[0] not in ("same-origin", "none"):
            return "the request comes from another page"
        return None

    def _ours(self, host: str) -> bool:
        name, bracket, port = host.rpartition("]")
        if bracket:
            name = name.removeprefix("[")
            port = port.removeprefix(":")
        else:
            name, _, port = host.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        try:
            return ip_address(name) is not None
        except ValueError:
            return name.lower().rstrip(".") in self._names


def _headers() -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in HEADERS.items()]


async def _say(send: Send, message: str) -> None:
    import json

    body = json.dumps({"error": {"field": "", "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_headers()]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
