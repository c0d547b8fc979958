"""The routes of the service."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Route

from onetrunk import __version__
from onetrunk.errors import UserError, closest
from onetrunk.interface import too_long
from onetrunk.serving.batching import Batcher
from onetrunk.serving.bodies import (
    Changed,
    Embeddings,
    Fault,
    Lesson,
    Listing,
    Question,
    Results,
    Texts,
    is_json,
    one_line,
)
from onetrunk.serving.changes import Apps
from onetrunk.serving.gate import NOTED, Gate, Json, error_answer
from onetrunk.serving.json_route import JsonRoute, RefusedBody
from onetrunk.serving.metrics import CONTENT_TYPE, Metrics
from onetrunk.serving.page import add_playground, index
from onetrunk.serving.refusal import Refusal
from onetrunk.serving.settings import TOKEN, Limits, read_origins

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_BEARER = HTTPBearer(auto_error=False, description="The token that the service was started with.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def _faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Fault} for status in statuses}


_READING = _faults(400, 408, 413, 415, 422, 429, 504)
_CHANGING = _faults(400, 401, 403, 404, 408, 409, 413, 415, 422, 501)


class Service:
    """Routes over some apps. ``token``: what changes need; without one they are refused."""

    def __init__(self, apps: Apps, limits: Limits, token: str | None) -> None:
        self._apps, self._limits, self._token = apps, limits, token
        self.metrics = Metrics(
            lambda: self._batcher.texts_waiting, lambda: len(self._apps.model.names)
        )
        self._batcher = Batcher(limits, self.metrics.batch)
        self._width: int = apps.model.embed([]).shape[1]
        self._running: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Inside, requests are answered."""
        self._running = asyncio.create_task(self._batcher.run())
        try:
            yield
        finally:
            self._running.cancel()
            self._batcher.close()

    async def predict(self, body: Question, request: Request) -> Response:
        """Run apps over texts."""
        self._check(body.texts, request)
        return Json(
            {"results": await self._batcher.predict(self._apps.model, body.texts, body.apps)}
        )

    async def embed(self, body: Texts, request: Request) -> Response:
        """Embed texts."""
        self._check(body.texts, request)
        vectors = await self._batcher.embed(self._apps.model, body.texts)
        numbers = [vector.tolist() for vector in vectors]
        return Json({"embeddings": numbers, "dimensions": self._width})

    async def list_apps(self) -> Response:
        """List the apps."""
        limits = {"texts": self._limits.texts, "characters": self._limits.characters}
        limits["body_bytes"] = self._limits.body_bytes
        return Json({"apps": self._apps.listed(), "limits": limits})

    async def put_app(self, name: str, request: Request, credentials: _Credentials) -> Response:
        """Add or replace an app by its file."""
        self._authorise(credentials)
        content = await request.body()
        is_new = await asyncio.to_thread(self._apps.put, name, content)
        return Json({"name": name, "kept": True, "score": None}, 201 if is_new else 200)

    async def remove_app(self, name: str, credentials: _Credentials) -> Response:
        """Take an app away."""
        self._authorise(credentials)
        if name not in self._apps.model.names:
            raise Refusal(404, f"there is no app {name!r:.120}")
        await asyncio.to_thread(self._apps.remove, name)
        return Response(status_code=204)

    async def teach(
        self, name: str, body: Lesson, request: Request, credentials: _Credentials
    ) -> Response:
        """Train an app from examples."""
        self._authorise(credentials)
        request.scope[NOTED]["examples"] = len(body.examples)
        score, notes = await asyncio.to_thread(
            self._apps.teach, name, body.family, body.examples, body.labels, body.keep,
            body.start, body.stay, body.overwrite,
        )  # fmt: skip
        answer = {"name": name, "kept": body.keep, "score": asdict(score), "notes": notes}
        return Json(answer)

    async def healthz(self) -> Response:
        """Say that the process answers."""
        return PlainTextResponse("ok")

    async def readyz(self) -> Response:
        """Say whether texts are answered."""
        if self._running is None or self._running.done() or self._batcher.is_stuck():
            return PlainTextResponse("not ready", 503)
        return PlainTextResponse("ready")

    async def index(self, request: Request) -> Response:
        """A page about the service."""
        return HTMLResponse(index(request.app.openapi()))

    async def read_metrics(self) -> Response:
        """Counters for Prometheus."""
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)

    def _check(self, texts: Sequence[str], request: Request) -> None:
        """Raise :class:`UserError` if these texts are too many or too long for one request."""
        noted = {"texts": len(texts), "characters": sum(map(len, texts))}
        request.scope[NOTED].update(noted)
        if len(texts) > self._limits.texts:
            most = self._limits.texts
            raise UserError(f"{len(texts):,} texts; at most {most:,} are read at once: send fewer")
        for number, text in enumerate(texts):
            if fault := too_long(text, self._limits.characters):
                raise UserError(f"text {number} (counted from 0) has {fault}")

    def _authorise(self, credentials: HTTPAuthorizationCredentials | None) -> None:
        if self._token is None:
            raise Refusal(
                403,
                "this service takes no changes: start it with --token-file FILE, or with the "
                f"environment variable {TOKEN}",
            )
        given = credentials.credentials if credentials else ""
        if not given:
            raise Refusal(401, "changes need the header Authorization: Bearer TOKEN")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise Refusal(401, "the token that was sent is not that of this service")


def create_app(
    model: Engine | Runtime,
    bundle: Path | None = None,
    limits: Limits | None = None,
    token: str | None = None,
    cors_origins: Sequence[str] = (),
    playground: bool = True,
) -> FastAPI:
    """The ASGI application that serves ``model``.

    ``bundle``: the folder of a Runtime, if its apps may change. ``token``: what changes need.
    ``cors_origins``: web sites whose pages may call it. ``playground``: serve a page at / that runs
    the bundle in the browser, and so the bundle's files.

    Raises :class:`UserError` for an origin that no browser sends.
    """
    limits, origins = limits or Limits(), read_origins(cors_origins)
    service = Service(Apps(model, bundle), limits, token)
    app = FastAPI(
        title="onetrunk",
        version=__version__,
        description="Many text tasks over one encoder.",
        lifespan=service.lifespan,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
    )
    _add_routes(app, service, bundle if playground else None)
    _add_errors(app)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["retry-after", "x-request-id"],
        )
    app.add_middleware(Gate, metrics=service.metrics, limits=limits)
    return app


def _add_routes(app: FastAPI, service: Service, page_of: Path | None) -> None:
    app.router.route_class = JsonRoute
    app.post("/v1/predict", response_model=Results, responses=_READING)(service.predict)
    app.post("/v1/embed", response_model=Embeddings, responses=_READING)(service.embed)
    app.get("/v1/apps", response_model=Listing)(service.list_apps)
    app.put(
        "/v1/apps/{name}",
        response_model=Changed,
        responses={**_CHANGING, 201: {"model": Changed}},
        openapi_extra={"requestBody": {"content": _FILE, "required": True}},
    )(service.put_app)
    app.delete("/v1/apps/{name}", status_code=204, responses=_CHANGING)(service.remove_app)
    app.post("/v1/apps/{name}/teach", response_model=Changed, responses=_CHANGING)(service.teach)
    for path, answer in (
        ("/healthz", service.healthz),
        ("/readyz", service.readyz),
        ("/metrics", service.read_metrics),
    ):
        app.get(path, response_class=PlainTextResponse)(answer)
    if page_of is None or not add_playground(app, page_of):
        app.get("/", include_in_schema=False)(service.index)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        kind = request.headers.get("content-type", "")
        if len(fault["loc"]) == 1 and fault["type"] != "missing" and not is_json(kind):
            sent = f"as {kind:.80}" if kind else "without one"
            must = "the body must be sent with the header Content-Type: application/json"
            return error_answer(415, f"{must}; it was sent {sent}")
        return error_answer(422, one_line(fault, _keys(request)))

    @app.exception_handler(UserError)
    async def wrong(request: Request, error: UserError) -> Response:
        return error_answer(422, str(error))

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
        return error_answer(error.status, str(error), headers)

    @app.exception_handler(StarletteHTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        if error.status_code in (404, 405):
            return _lost(request)
        unreadable = "the body cannot be read: it must be JSON in UTF-8, not nested deeply"
        is_told = error.status_code != 400 or isinstance(error, RefusedBody)
        message = str(error.detail) if is_told else unreadable
        return error_answer(error.status_code, message, dict(error.headers or {}))


def _lost(request: Request) -> Response:
    """The answer to a request that no route takes. It names the methods or the path that may have
    been meant; the playground, which is mounted at /, would say neither."""
    path = request.scope["path"]
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = {m for route in routes if route.path_regex.match(path) for m in route.methods or ()}
    if path == "/":
        found |= {"GET", "HEAD"}  # the playground
    methods = sorted(found)
    if methods and request.method not in found:
        message = f"{path:.120} takes {' or '.join(methods)}, not {request.method:.20}"
        return error_answer(405, message, {"allow": ", ".join(methods)})
    known = [route.path.replace("{name}", "NAME") for route in routes]
    near = closest(path[:200], known)
    hint = f"did you mean {near}?" if near else "GET /openapi.json describes what there is"
    return error_answer(404, f"there is no {path:.120}; {hint}")


def _keys(request: Request) -> list[str]:
    """The keys that a request's body may have."""
    path = request.url.path
    body = Lesson if path.endswith("/teach") else Texts if path.endswith("/embed") else Question
    return [*body.model_fields]
