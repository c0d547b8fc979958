"""What every request passes: its id, its size, its log line, and headers of its answer."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from typing import Any

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onetrunk.serving.logs import log, log_fault
from onetrunk.serving.metrics import Metrics
from onetrunk.serving.settings import Limits

UPLOAD_SECONDS = 60.0
"""How long an app's file may take to arrive."""
QUIET = ("/healthz", "/readyz", "/metrics")
"""Routes that are asked every few seconds, and not logged."""
NOTED = "onetrunk.noted"
"""In a request's scope: what its log line says beside the usual."""
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
LEFT = 499
"""The status that is logged if the caller left before the answer."""


class Json(Response):
    """An answer as JSON. It is ASCII, so that half a surrogate pair in a text does no harm."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Raises ValueError for a number that is not finite, which JSON does not have."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> Json:
    """The answer to a request that failed."""
    return Json({"error": message}, status, headers)


class Gate:
    """ASGI middleware. Of a request whose body is too large or too slow, the rest is not read."""

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Limits) -> None:
        self._app, self._metrics, self._limits = app, metrics, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and see to it that it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[NOTED] = {}
        exchange = _Exchange(scope, receive, send, self._limits)
        try:
            exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except HTTPException as refused:
            await exchange.fail(refused.status_code, refused.detail)
        except ClientDisconnect:
            exchange.status = LEFT
        except Exception as error:
            log_fault("fault", error, id=exchange.id)
            message = f"internal error; the log has more under {exchange.id}"
            await exchange.fail(500, message)
        finally:
            self._note(scope, exchange)

    def _note(self, scope: Scope, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.began
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.request(scope["method"], route, exchange.status, seconds)
        if route not in QUIET:
            log(
                "request",
                id=exchange.id,
                method=scope["method"],
                route=route,
                status=exchange.status,
                ms=round(1000 * seconds, 2),
                bytes_in=exchange.received,
                bytes_out=exchange.sent,
                **scope[NOTED],
            )


class _Exchange:
    """One request and its answer on their way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._headers = Headers(scope=scope)
        is_upload = scope["method"] == "PUT"
        self._most = limits.app_bytes if is_upload else limits.body_bytes
        self._patience = UPLOAD_SECONDS if is_upload else limits.deadline
        length = self._headers.get("content-length", "0")
        self._has_more = length != "0" or "transfer-encoding" in self._headers
        self.began = time.perf_counter()
        given = self._headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        self.status, self.received, self.sent = 0, 0, 0

    def check_length(self) -> None:
        """Raise HTTPException if the header says that the body is too large."""
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """Raises HTTPException if the body is too large or too slow."""
        if not self._has_more:  # what comes now is the end of the connection
            return await self._receive()
        left = self._patience - (time.perf_counter() - self.began)
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await self._receive()
        except TimeoutError:
            why = f"the body did not arrive within {self._patience:g} seconds"
            raise HTTPException(408, why) from None
        self.received += len(message.get("body", b""))
        if self.received > self._most:
            raise self._too_large()
        self._has_more = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, and our headers with the first."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            headers["x-content-type-options"] = "nosniff"
            if self.status >= 400 and self._has_more:  # the rest of the body is not read
                headers["connection"] = "close"
        self.sent += len(message.get("body", b""))
        await self._send(message)

    async def fail(self, status: int, message: str) -> None:
        """Answer by an error, unless an answer has begun."""
        if not self.status:
            await error_answer(status, message)(self._scope, self._receive, self.send)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the body has more than {self._most:,} bytes: send less at once")
