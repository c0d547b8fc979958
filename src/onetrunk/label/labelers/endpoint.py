"""An OpenAI-compatible chat endpoint: patient with a bad one, polite to a busy one, thrifty.

Timeouts, lost connections, HTTP 408, 409, 425, 429 and 5xx, and answers that do not pass a check
are tried again after an exponential back-off with full jitter ("Exponential Backoff And Jitter",
AWS Architecture Blog, 2015); ``Retry-After`` holds all requests, not only the one it answered.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError
from onetrunk.label.base import Unfinished
from onetrunk.label.labelers.limits import Budget, RateLimit

_T = TypeVar("_T")
LONGEST_BACKOFF = 60.0
LONGEST_HOLD = 600.0
"""Seconds; an endpoint that asks for more is left alone until the next run."""
LARGEST_ANSWER = 4 << 20
"""Bytes."""
_AGAIN = frozenset({408, 409, 425, 429})
_HOPELESS = frozenset({401, 402, 403, 404, 405})


@dataclass(frozen=True)
class Settings:
    """How to talk to an endpoint.

    ``url`` is the base (``http://localhost:8000/v1``) or the address of ``chat/completions``
    itself. ``rate`` is requests a minute; ``requests`` and ``tokens`` are the most that one run
    may spend (tokens are known after an answer: requests under way may go over).
    """

    url: str
    key: str = ""
    timeout: float = 60.0
    retries: int = 6
    backoff: float = 1.0
    concurrency: int = 8
    rate: float | None = None
    requests: int | None = None
    tokens: int | None = None


class Failed(Exception):
    """One question got no usable answer; ``counts`` are its retries."""

    def __init__(self, why: str, counts: Mapping[str, int]) -> None:
        super().__init__(why)
        self.counts = counts


@dataclass(frozen=True)
class Reply(Generic[_T]):
    """A checked answer, the retries it took, by reason, and the tokens the endpoint reported."""

    value: _T
    counts: Mapping[str, int]


class _Fault(Exception):
    """An attempt that may be repeated: a kind to count, details, and seconds asked to wait."""

    def __init__(self, kind: str, detail: str = "", hold: float = 0.0) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.hold = kind, hold


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    total_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class Endpoint:
    """Thread-safe; :meth:`stop` makes every waiting thread give up at once."""

    def __init__(self, settings: Settings) -> None:
        httpx = _httpx()
        self.settings = settings
        base = settings.url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        try:
            address = httpx.URL(self._url)
        except httpx.InvalidURL as error:
            raise UserError(f"--endpoint {settings.url!r} is not an address: {error}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise UserError(f"--endpoint {settings.url!r} is not like http://localhost:8000/v1")
        self._client = httpx.Client(
            timeout=settings.timeout,
            headers={"Authorization": f"Bearer {settings.key}"} if settings.key else {},
            limits=httpx.Limits(max_connections=settings.concurrency),
        )
        self._pace = RateLimit(settings.rate)
        self._purse = Budget(settings.requests, settings.tokens)
        self._stopped = threading.Event()

    def ask(self, body: Mapping[str, Any], check: Callable[[str], _T]) -> Reply[_T]:
        """Send a chat request until ``check`` takes the content of its answer.

        ``check`` raises ValueError for an answer that is no use. Raises :class:`Failed` after the
        last retry or a refusal of this request, :class:`Unfinished` when the budget is spent, and
        UserError where no request could succeed (no such address, no right to use it).
        """
        counts: Counter[str] = Counter()
        for attempt in range(self.settings.retries + 1):
            self._pace.wait(self._stopped)
            self._purse.take()
            try:
                completion = self._post(body)
                tokens = completion.usage.total_tokens if completion.usage else None
                counts["tokens"] += tokens or 0
                self._purse.pay(tokens)
                if not completion.choices:
                    raise _Fault("invalid answer", "no choices")
                choice = completion.choices[0]
                if choice.finish_reason == "length":
                    raise _Fault("answer cut off at the endpoint's length limit")
                try:
                    return Reply(check(choice.message.content), counts)
                except ValueError as error:
                    raise _Fault("invalid answer", _short(error)) from None
            except _Fault as fault:
                if attempt == self.settings.retries:
                    raise Failed(str(fault), counts) from None
                counts[f"retries: {fault.kind}"] += 1
                self._pace.hold(fault.hold)
                ceiling = min(LONGEST_BACKOFF, self.settings.backoff * 2**attempt)
                self._stopped.wait(random.uniform(0, ceiling))
            except _Refused as refused:
                raise Failed(str(refused), counts) from None
        raise AssertionError("the last attempt returns or raises")

    def stop(self) -> None:
        """Send nothing more: threads that wait raise :class:`Unfinished`."""
        self._stopped.set()

    def _post(self, body: Mapping[str, Any]) -> _Completion:
        httpx = _httpx()
        deadline = time.monotonic() + self.settings.timeout
        content = bytearray()
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                for block in response.iter_bytes():
                    content += block
                    # The client's timeout is for one read; an answer can trickle for ever.
                    if time.monotonic() > deadline:
                        raise _Fault("timeout")
                    if len(content) > LARGEST_ANSWER:
                        raise _Fault("invalid answer", f"more than {LARGEST_ANSWER:,} bytes")
        except httpx.TimeoutException:
            raise _Fault("timeout", f"{self.settings.timeout:g} s") from None
        except httpx.DecodingError as error:
            raise _Fault("invalid answer", _short(error)) from None
        except httpx.TransportError as error:
            raise _Fault("connection error", _short(error)) from None
        if response.status_code != 200:
            self._raise_for(response.status_code, bytes(content), response.headers)
        try:
            return _Completion.model_validate_json(bytes(content))
        except ValidationError as error:
            raise _Fault("invalid answer", _short(error)) from None

    def _raise_for(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        said = show(content[:200].decode(errors="replace"))
        if status in _AGAIN or status >= 500:
            hold = _seconds(headers.get("retry-after", ""))
            if hold > LONGEST_HOLD:
                raise Unfinished(f"the endpoint asks to wait {hold:,.0f} s (HTTP {status}: {said})")
            raise _Fault(f"HTTP {status}", said, hold)
        if status in _HOPELESS or 300 <= status < 400:
            raise UserError(
                f"{self._url} answered HTTP {status} ({said}): check --endpoint, the model and "
                "the key"
            )
        raise _Refused(f"HTTP {status}: {said}")


class _Refused(Exception):
    """The endpoint will not answer this request, however often it is sent."""


def _seconds(retry_after: str) -> float:
    """``Retry-After`` in seconds from now; 0 if it says nothing (RFC 9110, section 10.2.3)."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return show(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip())
    return show(str(error) or type(error).__name__)


def _httpx() -> ModuleType:
    try:
        import httpx
    except ImportError:
        raise UserError(
            "labels from a chat endpoint need the package httpx: pip install 'onetrunk[chat]'"
        ) from None
    return httpx
