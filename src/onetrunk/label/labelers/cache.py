"""A file of paid answers: whatever happens to a run, no answer is paid for twice."""

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onetrunk.errors import UserError

_SETUP = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL);
"""


class AnswerCache:
    """A key-value store in one SQLite file, for several threads and processes.

    With write-ahead logging, an entry is whole or absent, also after SIGKILL. The file appears with
    the first use. Each method raises UserError if the file is damaged or not such a cache.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> str | None:
        """Return the answer, or None."""
        with self._transaction() as connection:
            query = connection.execute("SELECT answer FROM answers WHERE key = ?", (key,))
            row = query.fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Keep an answer. Once this returns, a killed process does not lose it."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
                    connection.executescript(_SETUP)
                    self._connection = connection
                with self._connection:
                    yield self._connection
            except sqlite3.Error as error:
                raise UserError(
                    f"{self.path} is not a usable cache of answers ({error}): delete it or name "
                    "another"
                ) from None


def key_of(*parts: str) -> str:
    """Return one key for everything that an answer depends on."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()
