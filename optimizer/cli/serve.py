"""``optimizer serve``: the same questions over HTTP, and a page to ask and look (``docs/serve.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket

HOST, PORT = "127.0.0.1", 8765


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; other machines reach only what is not loopback.")
    ] = HOST,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = PORT,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A host name by which it is asked, beside localhost.", metavar="NAME"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=2, max=256, help="Processes that answer; one is kept for what is quick.")
    ] = 2,
    time_limit: Annotated[
        float,
        typer.Option("--time-limit", min=0.1, max=86_400, help="Most seconds of one question.", metavar="SECONDS"),
    ] = 60.0,
) -> None:
    """Answer the same questions over HTTP with the same JSON, and show a page to ask and look; needs the extra [serve]."""
    from importlib.util import find_spec

    from optimizer.facts.errors import ProblemError

    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ProblemError(
            "serve",
            f"{' and '.join(missing)} not installed; python3 -m pip install 'parallel-strategy-optimizer[serve]'",
        )
    listening = _listen(host, port)
    import uvicorn

    from optimizer.server.app import application

    app = application(workers=workers, time_limit_s=time_limit, names=allow_host or ())
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
        limit_concurrency=128,
    )
    where = f"[{host}]" if ":" in host else host
    typer.echo(f"Serving at http://{where}:{listening.getsockname()[1]}/ (Ctrl-C ends it).", err=True)
    if not _is_loopback(host):
        said = "Anybody who reaches this address may ask; put a proxy in front that knows its users (docs/serve.md)."
        typer.echo(f"warning: {said}", err=True)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        typer.echo("Ended.", err=True)


def _listen(host: str, port: int) -> socket.socket:
    """The socket, taken before anything is loaded.

    Raises:
        ProblemError: the address is not this machine's, or the port is taken.
    """
    import socket

    from optimizer.facts.errors import ProblemError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ProblemError("--port", f"{host}:{port} cannot be listened on ({error.strerror or error})") from None


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
