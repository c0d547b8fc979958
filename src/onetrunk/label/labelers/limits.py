"""How fast and how much an endpoint is asked."""

from __future__ import annotations

import threading
import time

from onetrunk.errors import UserError
from onetrunk.label.base import Unfinished


class RateLimit:
    """When the next request may start: evenly spaced, and not while the endpoint asks to wait.

    ``rate`` is requests a minute. Thread-safe.
    """

    def __init__(self, rate: float | None) -> None:
        self._between = 60.0 / rate if rate else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stopped: threading.Event) -> None:
        """Return when a request may start; raises :class:`Unfinished` once ``stopped`` is set."""
        while not stopped.is_set():
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._between
                    return
                left = self._next - now
            stopped.wait(left)
        raise Unfinished("stopped")

    def hold(self, seconds: float) -> None:
        """Start no request for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class Budget:
    """What is left of a budget of requests, of tokens, or of both. Thread-safe."""

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._requests, self._tokens = requests, tokens
        self._sent = self._used = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """One request; raises :class:`Unfinished` if the budget has none left."""
        with self._lock:
            if self._requests is not None and self._sent >= self._requests:
                raise Unfinished(f"the budget of {self._requests:,} requests is spent")
            if self._tokens is not None and self._used >= self._tokens:
                raise Unfinished(f"the budget of {self._tokens:,} tokens is spent")
            self._sent += 1

    def pay(self, tokens: int | None) -> None:
        """Its tokens; raises UserError if they are to be counted and the endpoint does not say."""
        if tokens is None and self._tokens is not None:
            raise UserError(
                "the endpoint does not report tokens ('usage'); pass --budget-requests instead of "
                "--budget-tokens"
            )
        with self._lock:
            self._used += tokens or 0
