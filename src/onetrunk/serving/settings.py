"""What a service allows, and who may call it and change its apps."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onetrunk.errors import UserError

TOKEN = "ONETRUNK_TOKEN"
"""The environment variable that may hold the token."""
SHORTEST_TOKEN = 16
LARGEST_CHARACTER = 12
"""Bytes of a character in JSON: an emoji may be written as two escapes."""
_OPTIONS = {
    "max_batch": "--max-batch",
    "max_queue": "--max-queue",
    "deadline": "--deadline",
    "texts": "--max-texts",
    "characters": "--max-characters",
}
"""The options of ``onetrunk serve`` that set limits."""
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", re.ASCII)
_USUAL_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Limits:
    """What one request may ask, and how much may wait. Raises :class:`UserError` for a number out
    of range."""

    max_batch: int = 32
    """Texts of several requests that run together."""
    max_queue: int = 512
    """Texts that may wait; a request that would make them more is answered by 429."""
    deadline: float = 10.0
    """Seconds after which a request is answered by 504."""
    texts: int = 256
    """Texts of one request."""
    characters: int = 20_000
    """Characters of one text."""
    body_bytes: int = 2**20
    """Of a request's JSON."""
    app_bytes: int = 32 * 2**20
    """Of an app's file."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                named = _OPTIONS.get(name, name)
                raise UserError(f"{named} is {value}: it must be more than 0")
        if self.texts > self.max_queue:
            raise UserError(
                f"--max-texts {self.texts} is more than --max-queue {self.max_queue}: the texts of "
                "one request must be able to wait"
            )


def read_origins(given: Sequence[str]) -> list[str]:
    """Web sites as browsers name them: ``https://example.com``, in small letters, without a slash
    at the end and without the port that is usual. ``*`` is every site, ``null`` a page of no site.

    Raises :class:`UserError`, with the right form, for what no browser sends.
    """
    return [_origin(site.strip()) for site in given]


def _origin(site: str) -> str:
    if site in ("*", "null"):
        return site
    if match := _ORIGIN.fullmatch(site.lower().removesuffix("/")):
        scheme, host, port = match.groups(default="")
        return f"{scheme}://{host}{'' if port == _USUAL_PORTS.get(scheme) else port}"
    scheme, _, rest = site.lower().rpartition("://")
    likely = f"{scheme or 'https'}://{re.split('[/?#]', rest.rpartition('@')[2])[0]}"
    form = likely if _ORIGIN.fullmatch(likely) else "https://example.com"
    raise UserError(
        f"--cors-origin {site:.120} is no web site as browsers name it, by scheme and host alone: "
        f"write {form}"
    )


def read_token(file: Path | None) -> str | None:
    """The token that changes need: from a file, or from :data:`TOKEN`; None if there is none.

    Raises :class:`UserError` if the file cannot be read, or if a token is too short to be secret.
    """
    if file is None:
        token, where = os.environ.get(TOKEN, ""), TOKEN
        if not token:
            return None
    else:
        try:
            token, where = file.read_text(encoding="utf-8"), str(file)
        except UnicodeDecodeError:
            raise UserError(f"{file} holds no token: it is not UTF-8") from None
    token = token.strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise UserError(
            f"{where} holds no token: {SHORTEST_TOKEN} ASCII characters at least, such as those "
            "of: openssl rand -hex 32"
        )
    return token
