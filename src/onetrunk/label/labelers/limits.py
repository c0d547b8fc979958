"""How fast and how often an endpoint may be asked."""

import threading
import time

from onetrunk.errors import UserError
from onetrunk.label.base import Unfinished


class RateLimit:
    """Lets requests start evenly spaced, ``rate`` a minute, and can hold them all. Thread-safe."""

    def __init__(self, rate: float | None) -> None:
        self._spacing = 60.0 / rate if rate else 0.0
        self._lock = threading.Lock()
        self._next_start = 0.0

    def wait(self, stopped: threading.Event) -> None:
        """Return when a request may start. Raises :class:`Unfinished` once ``stopped`` is set."""
        while not stopped.is_set():
            with self._lock:
                delay = self._next_start - time.monotonic()
                if delay <= 0:
                    self._next_start = time.monotonic() + self._spacing
                    return
            stopped.wait(delay)
        raise Unfinished("stopped")

    def hold(self, seconds: float) -> None:
        """Let no request start for so many seconds."""
        with self._lock:
            self._next_start = max(self._next_start, time.monotonic() + seconds)


class Budget:
    """Counts requests and tokens up to a limit of either, or of both. Thread-safe."""

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        self._most_requests, self._most_tokens = requests, tokens
        self._requests = self._tokens = 0
        self._lock = threading.Lock()

    def take_request(self) -> None:
        """Count a request before it is sent. Raises :class:`Unfinished` if a limit is reached."""
        with self._lock:
            if self._most_requests is not None and self._requests >= self._most_requests:
                raise Unfinished(f"the budget of {self._most_requests:,} requests is spent")
            if self._most_tokens is not None and self._tokens >= self._most_tokens:
                raise Unfinished(f"the budget of {self._most_tokens:,} tokens is spent")
            self._requests += 1

    def add_tokens(self, tokens: int | None) -> None:
        """Count an answer's tokens. Raises UserError if there is a limit and they are unknown."""
        if tokens is None and self._most_tokens is not None:
            raise UserError(
                "the endpoint does not report tokens ('usage'); pass --budget-requests instead of "
                "--budget-tokens"
            )
        with self._lock:
            self._tokens += tokens or 0
