"""Call a service as if it were a model in this process."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload
from urllib.parse import quote

import httpx
import numpy as np
import tenacity

from onetrunk.data.batching import in_turn
from onetrunk.data.notes import logged
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError, as_path, missing, nearest
from onetrunk.interface import Score, listed, stream_results, streamed, too_long
from onetrunk.storage import regular_size

logger = logging.getLogger("onetrunk")

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

    ``token`` is what changes of its apps need; white space around it is left out. ``timeout`` is in
    seconds, for one call. A call that finds the service busy or unreachable is repeated ``retries``
    times, after longer and longer waits of random length, or what the service asks for. ``http``: a
    client of httpx to use, for proxies and certificates. Thread-safe.

    Raises :class:`UserError` for what is no address, and for a token that no header can hold.
    Methods raise it with the service's message if a call is refused, and if the service is still
    busy or unreachable after the last retry.

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
        self._shown = re.sub("//[^/@]*@", "//", self._url)  # messages have no passwords
        token = (token or "").strip()
        if not token.isascii() or not token.isprintable():
            raise UserError("the token is none: it must be one line of ASCII characters")
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
        return f"Client of {self._shown}"

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
        """Add or replace an app by a file ``apps/NAME.safetensors`` of a bundle, or its bytes.
        Raises :class:`UserError` also for a file that is missing or cannot be read."""
        content = file if isinstance(file, bytes) else _content(as_path(file, "file"))
        self._call("PUT", f"/v1/apps/{quote(name, safe='')}", content)

    def remove_app(self, name: str) -> None:
        """Take an app away. Raises :class:`UserError` with the nearest name if it is unknown."""
        if name not in (names := self.names):
            raise UserError(f"unknown app {name!r}; {nearest(name, names)}")
        self._call("DELETE", f"/v1/apps/{quote(name, safe='')}")

    def teach(
        self,
        name: str,
        family: str,
        examples: Any,
        labels: Sequence[str] = (),
        keep: bool = False,
        start: str | None = None,
        stay: Sequence[str] = (),
        *,
        text_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> Score:
        """Train an app there, and return how good it is. What is odd about the rows is logged.

        ``examples``, the columns, ``labels``, ``start`` and ``stay`` are those of
        ``Runtime.teach``. A file or a table is read here, by the family of this name; a list of
        rows is read there. With ``keep`` the bundle keeps the app. An app of this name is replaced
        only with ``overwrite``, or if ``start`` names it.

        Raises :class:`UserError` also for rows that cannot be read, or are no JSON.
        """
        if not isinstance(examples, list | tuple) or text_column or label_column:
            examples = _read(family, examples, text_column, label_column)
        body = {
            "family": family, "examples": examples, "labels": listed(labels, "labels"),
            "keep": keep, "start": start, "overwrite": overwrite,
            "stay": listed(stay, "texts whose answers stay"),
        }  # fmt: skip
        changed = self._call("POST", f"/v1/apps/{quote(name, safe='')}/teach", body)
        for note in changed.get("notes", ()):  # services before 0.2.0 send none
            logger.warning(note)
        return Score(**changed["score"])

    @cached_property
    def _limits(self) -> dict[str, int]:
        limits: dict[str, int] = self._call("GET", "/v1/apps")["limits"]
        return limits

    def _parts(self, texts: list[str]) -> Iterator[list[str]]:
        """The texts of each request: as many as one may hold. No texts are one request, too."""
        for number, text in enumerate(texts):
            if fault := too_long(text, self._limits["characters"]):
                raise UserError(f"text {number} (counted from 0) has {fault}")
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
            try:
                content = json.dumps(body, default=_plain).encode()
            except (TypeError, ValueError) as error:
                raise UserError(f"this cannot be sent as JSON: {error}") from None
        try:
            return self._attempts.copy()(self._call_once, method, path, content, headers)
        except _Again as last:
            raise UserError(f"{self._shown}: {last}") from None

    def _call_once(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> Any:
        try:
            answer = self._http.request(method, self._url + path, content=content, headers=headers)
        except httpx.ConnectError as error:
            raise _Again(f"no connection: {error}") from None
        except httpx.TimeoutException:
            raise UserError(f"{self._shown}: no answer in time") from None
        except httpx.LocalProtocolError:  # its message has the header, which may be a secret
            raise UserError(f"{self._shown}: a header of the request is none") from None
        except httpx.RequestError as error:
            # It may have been done: asking twice does no harm, changing twice might.
            if method == "GET" or path in ("/v1/predict", "/v1/embed"):
                raise _Again(f"no answer: {error}") from None
            raise UserError(f"{self._shown}: no answer: {error}") from None
        where = self._shown + path
        if answer.status_code in _BUSY:
            raise _Again(_message(answer, where), _seconds(answer.headers.get("retry-after", "")))
        if answer.status_code in (404, 405):  # the address may be wrong
            is_long = "/v1" in httpx.URL(self._url).path
            more = "; the address of a service ends before /v1" if is_long else ""
            raise UserError(f"{where}: {_message(answer, 'it')}{more}")
        if not answer.is_success:
            raise UserError(_message(answer, where))
        return answer.json() if answer.content else None


def _content(file: Path) -> bytes:
    if file.is_dir():
        raise UserError(f"{file} is a folder: pass a file apps/NAME.safetensors of a bundle")
    try:
        regular_size(file)
        return file.read_bytes()
    except FileNotFoundError:
        missing(file)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from None


def _read(
    family: str, source: Any, text_column: str | None, label_column: str | Sequence[str] | None
) -> list[dict[str, Any]]:
    """Rows of a file or a table, as a service reads them."""
    from onetrunk.apps.reading import read_labelled
    from onetrunk.data.sources import Columns
    from onetrunk.families import family as family_named

    columns = Columns.named(text_column, label_column)
    with logged() as notes:
        rows, _ = read_labelled(family_named(family), source, "train", notes, columns=columns)
    if not all(isinstance(row, LabelledText | AnnotatedText) for row in rows):
        raise UserError(f"rows of family {family!r} cannot be sent: pass a list of mappings")
    return [_plain(row) for row in rows]


def _plain(row: Any) -> Any:
    """A row as a JSON object, and a value of NumPy as one of JSON. A span has its text, which says
    how its offsets count."""
    if isinstance(row, LabelledText):
        return {"text": row.text, "labels": list(row.labels)}
    if isinstance(row, AnnotatedText):
        spans = [
            {"start": start, "end": end, "label": label, "text": row.text[start:end]}
            for start, end, label in row.entities
        ]
        return {"text": row.text, "spans": spans}
    if hasattr(row, "tolist"):
        return row.tolist()
    raise TypeError(f"{row!r:.60} ({type(row).__name__})")


def _message(answer: httpx.Response, where: str) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{where} answered HTTP {answer.status_code}"


def _asked_for(state: tenacity.RetryCallState) -> float:
    fault = state.outcome and state.outcome.exception()
    return fault.after if isinstance(fault, _Again) else 0.0


def _seconds(retry_after: str) -> float:
    """The usual form of ``Retry-After``; the other one, a date, counts as no wish."""
    return min(float(retry_after), LONGEST_WISH) if retry_after.isdecimal() else 0.0
