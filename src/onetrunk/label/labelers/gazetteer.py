"""Entities by a list of names and their types."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import file_hash, typed_list
from onetrunk.label.labelers.matching import Matcher, longest_first


class GazetteerLabeler:
    """``path`` is a CSV, TSV, JSONL or Parquet file with the columns ``name`` and ``type``.

    Raises UserError for an unreadable file, a blank cell, a name without a visible character, and
    a name that has two types.
    """

    def __init__(self, path: str, match_case: bool = False) -> None:
        rows = typed_list(path, "name")
        self._types = [kind for _, kind, _ in rows]
        self._matcher = Matcher((name for name, _, _ in rows), ignore_case=not match_case)
        for index, (name, kind, place) in enumerate(rows):
            same = self._matcher.equal(name)
            if index not in same:
                raise UserError(f"{place}: the name {show(name)} has no visible character")
            _, other, first = rows[same[0]]
            if other != kind:
                raise UserError(
                    f"{place}: {show(name)} is {kind!r} here and {other!r} in {first}; keep one"
                )
        self.fingerprint = f"gazetteer:{file_hash(path)}" + (" match case" if match_case else "")

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        for text in texts:
            found = longest_first(self._matcher.occurrences(text))
            yield Answer(tuple(Entity(start, end, self._types[i]) for start, end, i in found))
