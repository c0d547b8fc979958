"""Labelers that are a list in a file: names (a gazetteer) or regular expressions, with types."""

from collections.abc import Generator, Iterable

import regex

from onetrunk.data.formats.table import show
from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.files import file_hash, read_columns
from onetrunk.label.labelers.matching import Matcher, longest_first

TIMEOUT = 2.0
"""Seconds that a pattern may take for one text; some patterns never end on some texts."""


class GazetteerLabeler:
    """Finds names. ``path`` is a table with the columns ``name`` and ``type``.

    Raises UserError for an unreadable file, a blank cell, a name without a visible character, and
    a name that has two types.
    """

    def __init__(self, path: str, match_case: bool = False) -> None:
        rows = _typed_list(path, "name")
        self._types = [type for _, type, _ in rows]
        self._matcher = Matcher((name for name, _, _ in rows), ignore_case=not match_case)
        for index, (name, type, place) in enumerate(rows):
            same = self._matcher.equal(name)
            if index not in same:
                raise UserError(f"{place}: the name {show(name)} has no visible character")
            _, first_type, first_place = rows[same[0]]
            if first_type != type:
                raise UserError(
                    f"{place}: {show(name)} is {type!r} here and {first_type!r} in {first_place}; "
                    "keep one"
                )
        self.fingerprint = f"gazetteer:{file_hash(path)}" + (" match case" if match_case else "")

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        for text in texts:
            entities = [
                Entity(start, end, self._types[index])
                for start, end, index in self._matcher.occurrences(text)
            ]
            yield Answer(tuple(longest_first(entities)))


class RegexLabeler:
    """Finds matches of patterns. ``path`` is a table with the columns ``pattern`` and ``type``.

    Patterns are those of the package ``regex``. The whole match is the entity; of overlapping
    matches the longest wins. Raises UserError for an unreadable file, a blank cell and an invalid
    pattern.
    """

    def __init__(self, path: str, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._patterns = []
        for pattern, type, place in _typed_list(path, "pattern"):
            try:
                self._patterns.append((regex.compile(pattern), type))
            except regex.error as error:
                raise UserError(f"{place}: pattern {show(pattern)}: {error}") from None
        self.fingerprint = f"regex:{file_hash(path)}"

    def label(self, texts: Iterable[str]) -> Generator[Answer, None, None]:
        """See :class:`~onetrunk.label.base.Labeler`."""
        for text in texts:
            yield self._answer(text)

    def _answer(self, text: str) -> Answer:
        entities = []
        for pattern, type in self._patterns:
            try:
                matches = list(pattern.finditer(text, timeout=self._timeout))
            except TimeoutError:
                shown = show(pattern.pattern)
                return Answer(error=f"pattern {shown} took longer than {self._timeout:g} s")
            # An empty match is a place in the text, not an entity.
            spans = [match.span() for match in matches if match.group()]
            entities += [Entity(start, end, type) for start, end in spans]
        return Answer(tuple(longest_first(entities)))


def _typed_list(path: str, column: str) -> list[tuple[str, str, str]]:
    """Return ``(value, type, place)`` for each row; a type has single spaces and no line end."""
    rows = read_columns(path, column, "type")
    return [(value, " ".join(type.split()), place) for value, type, place in rows]
