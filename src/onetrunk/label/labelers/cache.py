"""Answers that were paid for, on disk: none is asked for twice, whatever happens to the run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onetrunk.errors import UserError


class AnswerCache:
    """A key-value store in one SQLite file, for several threads and processes.

    Write-ahead logging: an entry is whole or not there, also after SIGKILL. The file is made when
    it is first needed; UserError is raised then if it is something else or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: sqlite3.Connection | None = None

    def get(self, key: str) -> str | None:
        """The answer, or None."""
        with self._lock, self._damage():
            rows = self._base().execute("SELECT answer FROM answers WHERE key = ?", (key,))
            found = rows.fetchone()
        return None if found is None else str(found[0])

    def put(self, key: str, answer: str) -> None:
        """Keep an answer: from when this returns, a killed process does not lose it."""
        with self._lock, self._damage(), self._base() as base:
            base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))

    def _base(self) -> sqlite3.Connection:
        if self._opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            base = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
            base.execute("PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=NORMAL")
            base.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)"
            )
            self._opened = base
        return self._opened

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path} is not a usable cache of answers ({error}): delete it or name another"
            ) from None


def key_of(*parts: str) -> str:
    """The key of what an answer depends on."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()
