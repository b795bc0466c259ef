"""The server: one page, the questions, the catalog and the schemas. It loads nothing from a network and nothing that a request names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from optimizer.questions.codes import BAD_INPUT, UNDECIDED
from optimizer.server.answering import QUESTIONS, Reply, failed
from optimizer.server.guard import Guard
from optimizer.server.pool import AnsweringProcess, NoReply, Worker, Workers
from optimizer.version import __version__

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
LARGEST_BODY_BYTES = 1 << 20
BODY_S = 15.0
"""Seconds in which a body has to arrive."""
LATE = (503, 504)
"""HTTP statuses of what was not answered in time."""


def application(
    *, workers: int = 2, time_limit_s: float = 60.0, names: Iterable[str] = (), make: Callable[[], Worker] | None = None
) -> FastAPI:
    """The server as an ASGI application.

    Args:
        workers: processes that answer, at least 2; all but one may search.
        time_limit_s: seconds that one question may take.
        names: host names beside ``localhost`` by which it is asked.
        make: starts a worker; left out, a process.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = Workers(make or (lambda: AnsweringProcess(time_limit_s)), workers, time_limit_s)
        try:
            yield
        finally:
            app.state.pool.close()

    # FastAPI's own pages of documentation load scripts from a network: there are none.
    app = FastAPI(
        title="optimizer",
        version=__version__,
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    for name in QUESTIONS:
        _add_question(app, name)
    for path, (file, kind) in PAGE_FILES.items():
        _add_file(app, path, PAGE / file, kind)
    _add_lists(app)
    app.add_exception_handler(HTTPException, _no_such)
    app.add_middleware(Guard, names=tuple(names))
    return app


def _no_such(request: Request, error: Exception) -> Response:
    """What is asked at an address that is none, or in another way than it is meant, is refused in the form of every refusal."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        taken = (error.headers or {}).get("Allow", "another method")
        refused = failed(405, BAD_INPUT, "", f"{request.method} is not for this address; use {taken}")
    else:
        asked = ", ".join(QUESTIONS)
        refused = failed(error.status_code, BAD_INPUT, "", f"nothing is here; ask POST /api/NAME, NAME one of {asked}")
    response = _response(refused)
    response.headers.update(error.headers or {})
    return response


def _add_question(app: FastAPI, name: str) -> None:
    async def asked(request: Request) -> Response:
        try:
            body = await _body(request)
            reply = await _while_connected(request, app.state.pool.ask(name, body))
        except NoReply as refused:
            reply = failed(refused.status, UNDECIDED if refused.status in LATE else BAD_INPUT, "", refused.message)
        return _response(reply)

    schema = {"content": {"application/json": {"schema": QUESTIONS[name][0].model_json_schema()}}, "required": True}
    app.add_api_route(
        f"/api/{name}",
        asked,
        methods=["POST"],
        name=name,
        summary=f"The JSON of optimizer {name} --json",
        response_class=JSONResponse,
        openapi_extra={"requestBody": schema},
    )


def _response(reply: Reply) -> Response:
    headers = {"optimizer-exit-code": str(reply.code)}
    return Response(reply.body, reply.status, headers, media_type="application/json")


async def _body(request: Request) -> bytes:
    """The body, bounded in size and time.

    Raises:
        NoReply: not JSON (which another page cannot send unasked), too large, or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise NoReply(415, "content-type: application/json is needed")
    stated = request.headers.get("content-length", "0")
    too_large = NoReply(413, f"the body is larger than {LARGEST_BODY_BYTES >> 20} MiB")
    if not stated.isdigit() or int(stated) > LARGEST_BODY_BYTES:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > LARGEST_BODY_BYTES:
                    raise too_large
                parts.append(part)
    except ClientDisconnect:
        raise NoReply(499, "the client went away") from None
    except TimeoutError:
        raise NoReply(408, f"the body did not arrive within {BODY_S:g} s") from None
    return b"".join(parts)


async def _while_connected(request: Request, work: Any) -> Reply:
    """What the work comes to; cancelled where the client goes away, for whom else would it go on?

    Raises:
        NoReply: of the work; or nobody waits any more.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise NoReply(499, "the client went away")
        reply: Reply = answer.result()
        return reply
    finally:
        for task in (answer, gone):
            task.cancel()
        await asyncio.gather(answer, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _add_file(app: FastAPI, path: str, file: Path, kind: str) -> None:
    content = file.read_bytes()

    async def page() -> Response:
        return Response(content, media_type=kind)

    app.add_api_route(path, page, methods=["GET"], include_in_schema=False)


def _add_lists(app: FastAPI) -> None:
    @app.get("/api/catalog/{kind}")
    def catalog(kind: str) -> Response:
        """The JSON of ``optimizer catalog gpus``, ``models`` and ``instances``."""
        return _known(kind, ("gpus", "models", "instances"), _catalog)

    @app.get("/api/schema/{kind}")
    def schema(kind: str) -> Response:
        """The JSON Schema of a problem of a kind, or of the answers."""
        return _known(kind, ("hardware", "day", "models", "cluster", "cluster-models", "chain", "answer"), _schema)

    @app.get("/api/template/{kind}")
    def template(kind: str) -> Response:
        """A commented problem file to start from, as ``optimizer init`` writes it."""
        from optimizer.reading.templates import template as of

        return _known(kind, ("hardware", "cluster", "chain"), lambda one: {"kind": one, "text": of(one)})


def _known(kind: str, kinds: tuple[str, ...], data: Callable[[str], Any]) -> Response:
    if kind not in kinds:
        return _response(failed(404, BAD_INPUT, "kind", f"is not known; use {', '.join(kinds)}"))
    return JSONResponse(data(kind))


@cache
def _catalog(kind: str) -> Any:
    from optimizer.render.catalog import catalog_data, instances_data

    return instances_data() if kind == "instances" else catalog_data(kind)


@cache
def _schema(kind: str) -> Any:
    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.file import ProblemFile
    from optimizer.facts.profile import DayFile
    from optimizer.facts.several import SeveralFile
    from optimizer.reading.cluster_models import cluster_models_schema
    from optimizer.reading.inventory_input import file_schema
    from optimizer.reporting.written.schema import every_schema

    made: dict[str, Callable[[], Any]] = {
        "hardware": ProblemFile.model_json_schema,
        "day": DayFile.model_json_schema,
        "models": SeveralFile.model_json_schema,
        "cluster": file_schema,
        "cluster-models": cluster_models_schema,
        "chain": ChainProblem.model_json_schema,
        "answer": every_schema,
    }
    return made[kind]()
