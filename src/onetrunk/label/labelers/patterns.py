"""Entities by regular expressions."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import regex

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import file_hash, typed_list
from onetrunk.label.labelers.matching import longest_first

TIMEOUT = 2.0
"""Seconds a pattern may take for one text; some patterns never end on some texts."""


class RegexLabeler:
    """``path`` is a CSV, TSV, JSONL or Parquet file with the columns ``pattern`` and ``type``.

    Patterns are those of the package ``regex``. The whole match is the entity; where matches of
    several patterns overlap, the longest stands. Raises UserError for an unreadable file, a blank
    cell and a pattern that is not one.
    """

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self._patterns = []
        self._timeout = timeout
        for pattern, kind, place in typed_list(path, "pattern"):
            try:
                self._patterns.append((regex.compile(pattern), kind))
            except regex.error as error:
                raise UserError(f"{place}: pattern {show(pattern)}: {error}") from None
        self.fingerprint = f"regex:{file_hash(path)}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        for text in texts:
            yield self._answer(text)

    def _answer(self, text: str) -> Answer:
        found = []
        for pattern, kind in self._patterns:
            try:
                matches = list(pattern.finditer(text, timeout=self._timeout))
            except TimeoutError:
                why = f"pattern {show(pattern.pattern)} took longer than {self._timeout:g} s"
                return Answer(error=why)
            # An empty match marks a place, not an entity.
            spans = [match.span() for match in matches]
            found += [(start, end, kind) for start, end in spans if end > start]
        return Answer(tuple(Entity(*span) for span in longest_first(found)))
