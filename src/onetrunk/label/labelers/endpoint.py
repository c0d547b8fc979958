"""An OpenAI-compatible chat endpoint, asked with patience, within its limits and our budget.

Timeouts, lost connections, HTTP 408, 409, 425, 429 and 5xx, and answers that fail a check are tried
again after an exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS
Architecture Blog, 2015). ``Retry-After`` holds all requests, not only the one that it answered.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import AliasPath, BaseModel, Field, HttpUrl, TypeAdapter, ValidationError

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError
from onetrunk.label.base import Unfinished
from onetrunk.label.labelers.limits import Budget, RateLimit

try:
    import httpx
    import tenacity
except ImportError as error:
    raise UserError(
        f"labels from a chat endpoint need the package {error.name}: pip install 'onetrunk[chat]'"
    ) from None

_Checked = TypeVar("_Checked")
LONGEST_BACKOFF = 60.0
"""Seconds."""
LONGEST_HOLD = 600.0
"""Seconds. If an endpoint asks for a longer pause, the run stops."""
LARGEST_ANSWER = 4 << 20
"""Bytes."""
_RETRIED = frozenset({408, 409, 425, 429})
_HOPELESS = frozenset({401, 402, 403, 404, 405})


class NoAnswer(Exception):
    """A question got no usable answer.

    ``kind`` names the fault, ``hold`` is how many seconds the endpoint asks to wait, ``retry`` says
    whether another attempt may succeed. ``counts`` holds the retries so far, and their tokens.
    """

    def __init__(self, kind: str, detail: str = "", hold: float = 0.0, retry: bool = True) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.hold, self.retry = kind, hold, retry
        self.counts: Counter[str] = Counter()


class _Completion(BaseModel):
    """The parts of an endpoint's answer that are used."""

    content: str = Field(validation_alias=AliasPath("choices", 0, "message", "content"))
    finish: str | None = Field(None, validation_alias=AliasPath("choices", 0, "finish_reason"))
    tokens: int | None = Field(None, validation_alias=AliasPath("usage", "total_tokens"))


@dataclass
class Endpoint:
    """A chat endpoint and how to talk to it. Thread-safe.

    ``url`` is the base (``http://localhost:8000/v1``) or the address of ``chat/completions``
    itself. ``timeout`` and ``backoff`` are seconds, ``rate`` is requests a minute. ``requests`` and
    ``tokens`` are the most that one run may spend. Tokens are known only after an answer, so
    requests under way may exceed them. Raises UserError for a ``url`` that is no address.
    """

    url: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    retries: int = 6
    backoff: float = 1.0
    concurrency: int = 8
    rate: float | None = None
    requests: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        base = self.url.rstrip("/")
        self._url = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
        try:
            TypeAdapter(HttpUrl).validate_python(self.url)
        except ValidationError:
            raise UserError(
                f"--endpoint {self.url!r} is not like http://localhost:8000/v1"
            ) from None
        self._client = httpx.Client(
            timeout=self.timeout,
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            limits=httpx.Limits(max_connections=self.concurrency),
        )
        self._rate_limit = RateLimit(self.rate)
        self._budget = Budget(self.requests, self.tokens)
        self._stopped = threading.Event()
        self._attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, NoAnswer) and e.retry),
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=tenacity.wait_random_exponential(self.backoff, LONGEST_BACKOFF),
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )

    def ask(
        self, body: Mapping[str, Any], check: Callable[[str], _Checked]
    ) -> tuple[_Checked, Counter[str]]:
        """Send a chat request until ``check`` accepts the content of the answer.

        Returns what ``check`` returned, and counts of retries by reason and of tokens. ``check``
        raises ValueError for an unusable answer. Raises :class:`NoAnswer` after the last retry and
        for a request that the endpoint refuses, :class:`Unfinished` when the budget is spent, and
        UserError where no request can succeed (wrong address, no access).
        """
        counts: Counter[str] = Counter()

        def count_retry(state: tenacity.RetryCallState) -> None:
            fault = state.outcome and state.outcome.exception()
            if isinstance(fault, NoAnswer):
                counts[f"retries: {fault.kind}"] += 1
                self._rate_limit.hold(fault.hold)

        try:
            attempts = self._attempts.copy(before_sleep=count_retry)
            return attempts(self._ask_once, body, check, counts), counts
        except NoAnswer as fault:
            fault.counts = counts
            raise

    def stop(self) -> None:
        """Send nothing more: threads that wait raise :class:`Unfinished`."""
        self._stopped.set()

    def _ask_once(
        self, body: Mapping[str, Any], check: Callable[[str], _Checked], counts: Counter[str]
    ) -> _Checked:
        self._rate_limit.wait(self._stopped)
        self._budget.take_request()
        content = self._post(body)
        try:
            completion = _Completion.model_validate_json(content)
            counts["tokens"] += completion.tokens or 0
            self._budget.add_tokens(completion.tokens)
            if completion.finish == "length":
                raise NoAnswer("answer cut off at the endpoint's length limit")
            return check(completion.content)
        except ValueError as error:
            raise NoAnswer("invalid answer", _in_short(error)) from None

    def _post(self, body: Mapping[str, Any]) -> bytes:
        deadline = time.monotonic() + self.timeout
        content = bytearray()
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                for block in response.iter_bytes():
                    content += block
                    # The client's timeout is for one read; an answer can trickle for ever.
                    if time.monotonic() > deadline:
                        raise NoAnswer("timeout")
                    if len(content) > LARGEST_ANSWER:
                        raise NoAnswer("invalid answer", f"more than {LARGEST_ANSWER:,} bytes")
        except httpx.TimeoutException:
            raise NoAnswer("timeout", f"{self.timeout:g} s") from None
        except httpx.RequestError as error:
            raise NoAnswer("connection error", _in_short(error)) from None
        if response.status_code != 200:
            self._raise_for_status(response, bytes(content))
        return bytes(content)

    def _raise_for_status(self, response: httpx.Response, content: bytes) -> None:
        status, text = response.status_code, show(content[:200].decode(errors="replace"))
        if status in _HOPELESS or 300 <= status < 400:
            raise UserError(
                f"{self._url} answered HTTP {status} ({text}): check --endpoint, the model and "
                "the key"
            )
        hold = _seconds(response.headers.get("retry-after", ""))
        retry = status in _RETRIED or status >= 500
        if retry and hold > LONGEST_HOLD:
            raise Unfinished(f"the endpoint asks to wait {hold:,.0f} s (HTTP {status}: {text})")
        raise NoAnswer(f"HTTP {status}", text, hold, retry)


def _seconds(retry_after: str) -> float:
    """``Retry-After`` in seconds from now; 0 if it is not valid (RFC 9110, section 10.2.3)."""
    if retry_after.replace(".", "", 1).isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _in_short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return show(f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip())
    return show(str(error) or type(error).__name__)
