"""Routes whose JSON bodies have each key once."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from onetrunk.data.formats.jsonfiles import RepeatedKey, unique_keys


class RefusedBody(HTTPException):
    """A body that is JSON, but not what it seems."""


class JsonRoute(APIRoute):
    """FastAPI's route, which takes the last value of a key that a body has twice, refuses it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handler(_Request(request.scope, request.receive))

        return answer


class _Request(Request):
    async def json(self) -> Any:
        """The body. Raises :class:`RefusedBody` that names a key which an object has twice."""
        try:
            return json.loads(await self.body(), object_pairs_hook=unique_keys)
        except RepeatedKey as error:
            raise RefusedBody(400, f"the body cannot be used: {error}") from None
