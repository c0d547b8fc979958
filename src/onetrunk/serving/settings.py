"""What a service allows, and who may change its apps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from onetrunk.errors import UserError

TOKEN = "ONETRUNK_TOKEN"
"""The environment variable that may hold the token."""
SHORTEST_TOKEN = 16
LARGEST_CHARACTER = 12
"""Bytes of a character in JSON: an emoji may be written as two escapes."""


@dataclass(frozen=True)
class Limits:
    """What one request may ask, and how much may wait."""

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
            if value <= 0:
                raise UserError(f"{name} is {value}: it must be more than 0")
        if self.texts > self.max_queue:
            raise UserError(
                f"{self.texts} texts a request are more than the {self.max_queue} that may wait"
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
