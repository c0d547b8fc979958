"""Call a service as if it were a model in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

import httpx
import numpy as np
import tenacity

from onetrunk.data.batching import in_turn
from onetrunk.errors import UserError, nearest
from onetrunk.interface import Score, listed, stream_results, streamed, too_long

LONGEST_BACKOFF, LONGEST_WISH = 20.0, 60.0
"""Seconds: of a wait of ours, and of one that a service asks for."""
_BUSY = (429, 503)


class _Again(Exception):
    """A call that may succeed later. ``after``: seconds that the service asks to wait."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class Client:
    """A service of ``onetrunk serve``, with the methods of :class:`onetrunk.interface.Model`.

    ``token`` is what changes of its apps need. ``timeout`` is in seconds, for one call. A call that
    finds the service busy or unreachable is repeated ``retries`` times, after longer and longer
    waits of random length, or what the service asks for. ``http``: a client of httpx to use, for
    proxies and certificates. Thread-safe.

    Methods raise :class:`UserError` with the service's message if a call is refused, and if the
    service is still busy or unreachable after the last retry.

    ```python
    import onetrunk

    with onetrunk.Client("http://localhost:8000", token="...") as model:
        print(model.predict("book a table in Oslo"))
    ```
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        backoff: float = 0.2,
        http: httpx.Client | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise UserError(f"{url!r} is no address like http://127.0.0.1:8000")
        self._http = http or httpx.Client(timeout=timeout)
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        backoffs = tenacity.wait_random_exponential(backoff, LONGEST_BACKOFF)
        self._attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(retries + 1),
            wait=lambda state: _asked_for(state) + backoffs(state),
            reraise=True,
        )

    def __repr__(self) -> str:
        return f"Client of {self._url}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def names(self) -> list[str]:
        """The apps' names, now."""
        return [app["name"] for app in self.apps]

    @property
    def apps(self) -> list[dict[str, Any]]:
        """Name, family and labels of every app, now."""
        listing: list[dict[str, Any]] = self._call("GET", "/v1/apps")["apps"]
        return listing

    @overload
    def predict(self, texts: str, apps: Sequence[str] | None = None) -> dict[str, Any]: ...

    @overload
    def predict(
        self, texts: list[str] | tuple[str, ...], apps: Sequence[str] | None = None
    ) -> list[dict[str, Any]]: ...

    def predict(self, texts: Any, apps: Sequence[str] | None = None) -> Any:
        """:meth:`onetrunk.interface.Model.predict`; many texts are sent in several requests."""
        names = None if apps is None else listed(apps, "apps")
        results: list[dict[str, Any]] = []
        for part in self._parts(listed(texts)):
            results += self._call("POST", "/v1/predict", {"texts": part, "apps": names})["results"]
        return results[0] if isinstance(texts, str) else results

    def stream(
        self, texts: Iterable[str | UserError], apps: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """:meth:`onetrunk.interface.Model.stream`; it reads as many ahead as a request may hold."""
        batches = in_turn(streamed(texts), self._limits["texts"])
        longest = self._limits["characters"]
        yield from stream_results(batches, lambda batch: self.predict(batch, apps), longest)

    def embed(self, texts: str | Sequence[str]) -> np.ndarray:
        """:meth:`onetrunk.interface.Model.embed`: ``(N, D)`` float32; one text gives ``(D,)``."""
        answers = [
            self._call("POST", "/v1/embed", {"texts": part}) for part in self._parts(listed(texts))
        ]
        vectors = [
            np.array(answer["embeddings"], np.float32).reshape(-1, answer["dimensions"])
            for answer in answers
        ]
        return vectors[0][0] if isinstance(texts, str) else np.concatenate(vectors)

    def put_app(self, name: str, file: str | Path | bytes) -> None:
        """Add or replace an app by a file ``apps/NAME.safetensors`` of a bundle, or its bytes."""
        content = file if isinstance(file, bytes) else Path(file).read_bytes()
        self._call("PUT", f"/v1/apps/{quote(name, safe='')}", content)

    def remove_app(self, name: str) -> None:
        """Take an app away."""
        if name not in (names := self.names):
            raise UserError(f"unknown app {name!r}; {nearest(name, names)}")
        self._call("DELETE", f"/v1/apps/{quote(name, safe='')}")

    def teach(
        self,
        name: str,
        family: str,
        examples: Sequence[Any],
        labels: Sequence[str] = (),
        keep: bool = False,
        start: str | None = None,
        stay: Sequence[str] = (),
        *,
        overwrite: bool = False,
    ) -> Score:
        """Train an app there, from rows as mappings or pairs of text and label, and return how good
        it is. ``labels``, ``start`` and ``stay`` are those of ``Runtime.teach``. With ``keep`` the
        bundle keeps it. An app of this name is replaced only with ``overwrite``, or if ``start``
        names it."""
        body = {
            "family": family, "examples": [*examples], "labels": [*labels], "keep": keep,
            "start": start, "stay": [*stay], "overwrite": overwrite,
        }  # fmt: skip
        changed = self._call("POST", f"/v1/apps/{quote(name, safe='')}/teach", body)
        return Score(**changed["score"])

    @cached_property
    def _limits(self) -> dict[str, int]:
        limits: dict[str, int] = self._call("GET", "/v1/apps")["limits"]
        return limits

    def _parts(self, texts: list[str]) -> Iterator[list[str]]:
        """The texts of each request: as many as one may hold. No texts are one request, too."""
        for number, text in enumerate(texts):
            if fault := too_long(text, self._limits["characters"]):
                raise UserError(f"text {number} has {fault}")
        part: list[str] = []
        size = 0
        for text in texts:
            cost = len(json.dumps(text)) + 2
            too_much = size + cost > self._limits["body_bytes"] - 4096
            if part and (too_much or len(part) == self._limits["texts"]):
                yield part
                part, size = [], 0
            part.append(text)
            size += cost
        yield part

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; None if there is none."""
        headers = dict(self._headers)
        content = body
        if body is not None and not isinstance(body, bytes):
            headers["content-type"] = "application/json"
            content = json.dumps(body).encode()
        try:
            return self._attempts.copy()(self._call_once, method, path, content, headers)
        except _Again as last:
            raise UserError(f"{self._url}: {last}") from None

    def _call_once(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> Any:
        try:
            answer = self._http.request(method, self._url + path, content=content, headers=headers)
        except httpx.ConnectError as error:
            raise _Again(f"no connection: {error}") from None
        except httpx.TimeoutException:
            raise UserError(f"{self._url}: no answer in time") from None
        except httpx.RequestError as error:
            # It may have been done: asking twice does no harm, changing twice might.
            if method == "GET" or path in ("/v1/predict", "/v1/embed"):
                raise _Again(f"no answer: {error}") from None
            raise UserError(f"{self._url}: no answer: {error}") from None
        if answer.status_code in _BUSY:
            raise _Again(_message(answer), _seconds(answer.headers.get("retry-after", "")))
        if not answer.is_success:
            raise UserError(_message(answer))
        return answer.json() if answer.content else None


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered HTTP {answer.status_code}"


def _asked_for(state: tenacity.RetryCallState) -> float:
    fault = state.outcome and state.outcome.exception()
    return fault.after if isinstance(fault, _Again) else 0.0


def _seconds(retry_after: str) -> float:
    """The usual form of ``Retry-After``; the other one, a date, counts as no wish."""
    return min(float(retry_after), LONGEST_WISH) if retry_after.isdecimal() else 0.0
