"""The HTTP server around the service."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onetrunk.errors import UserError
from onetrunk.serving.logs import log

HEADER_SECONDS = 10.0
"""How long the headers of a request may take to arrive."""
KEEP_ALIVE_SECONDS = 75
"""How long a connection may wait for its next request. A request that comes as the connection is
being closed is lost, so this is longer than clients usually leave one unused."""
CONNECTIONS = 1024
"""More are answered by 503."""


class Protocol(HttpToolsProtocol):
    """HTTP that does not wait for ever for a request to begin, as uvicorn's does."""

    _impatient: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for headers from now on."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait on if the headers are not complete, and not if they are."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._impatient is None:
            self._impatient = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop_watching(self) -> None:
        if self._impatient is not None:
            self._impatient.cancel()
            self._impatient = None

    def _give_up(self) -> None:
        self._impatient = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises :class:`UserError` if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen on {host} port {port}: {why}; try another --port") from None


def server_of(app: FastAPI) -> uvicorn.Server:
    """The server of the service, ready to run."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; then every request that was accepted is answered."""
    server = server_of(app)
    # The server takes signals only once it runs, and raises them anew when it has ended; neither
    # may be lost or end the process before us.
    stops = (signal.SIGTERM, signal.SIGINT)
    before = {kind: signal.signal(kind, server.handle_exit) for kind in stops}
    try:
        log("listening", address="{}:{}".format(*listening.getsockname()[:2]))
        server.run(sockets=[listening])
        log("stopped")
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
