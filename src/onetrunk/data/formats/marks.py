"""A span as a file has it: its offsets, its labels, and the text that it repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from onetrunk.data.formats.table import show, wrong
from onetrunk.data.words import inside_word, visible

_STARTS, _ENDS, _LABELS = (
    ("start", "start_offset", "offset"), ("end", "end_offset"), ("label", "labels"),
)  # fmt: skip
_OTHER_LABELS = ("type", "entity_group", "entity", "category", "tag")
"""What models and services call the label of an entity. One of them counts if it stands alone."""
_A_SPAN = "[start, end, label] or an object with start, end and label"
_SHIFTS = {
    "ends may be inclusive: add 1": (0, 1),
    "starts may count from 1: subtract 1": (-1, 0),
    "offsets may count from 1: subtract 1": (-1, -1),
}
"""What may be wrong with offsets, and what to add to a start and an end to mend it."""
_BYTES = "offsets may count bytes of UTF-8: count characters"
HINTS = (_BYTES, *_SHIFTS)
"""All that may be wrong with offsets."""
REJECTED = ("reject", "ignore")
"""Answers of annotators that leave a span out."""


class Mark(NamedTuple):
    """A span as the file has it."""

    start: int
    end: int
    labels: list[str]
    repeats: str | None
    """The text of the span, if the file holds it."""

    def fits(self, text: str) -> bool:
        """Whether the span covers the text that the file holds, if it does; tools write white
        space in their own ways."""
        inside = 0 <= self.start <= self.end <= len(text)
        return self.repeats is None or (
            inside and text[self.start : self.end].split() == self.repeats.split()
        )

    def is_whole(self, text: str) -> bool:
        """Whether the span fits and consists of whole words, without white space around them."""
        return (
            0 <= self.start < self.end <= len(text)
            and self.fits(text)
            and not inside_word(text, self.start)
            and not inside_word(text, self.end)
            and visible(text, self.start, self.end) == (self.start, self.end)
        )

    def in_characters(self, encoded: bytes, encoding: str = "utf-16-le") -> Mark:
        """Convert offsets from UTF-16 units, or bytes of UTF-8, of a text to its characters.

        Offsets outside of the text stay there, and one inside a character is nowhere.
        """
        size = 2 if encoding == "utf-16-le" else 1

        def converted(offset: int) -> int:
            if not 0 <= size * offset <= len(encoded):
                return offset
            try:
                return len(encoded[: size * offset].decode(encoding))
            except UnicodeDecodeError:
                return -1

        return self._replace(start=converted(self.start), end=converted(self.end))

    def mended(self, hint: str, text: str) -> Mark:
        """What a hint makes of the span; the span itself if there is no hint."""
        if hint == _BYTES:
            return self.in_characters(text.encode(), "utf-8")
        start, end = _SHIFTS.get(hint, (0, 0))
        return self._replace(start=self.start + start, end=self.end + end)

    def fault(self, text: str) -> str:
        """Return a phrase that says why the span does not fit the text, or nothing."""
        if self.start == self.end:
            return "is empty"
        if not 0 <= self.start < self.end <= len(text):
            return f"is not inside the text, which has {len(text)} characters"
        if not self.fits(text):
            return f"is not what stands there, {show(text[self.start : self.end])}"
        if not text[self.start : self.end].strip():
            return "holds only white space"
        if not all(label.strip() for label in self.labels):
            return "has an empty label"
        return ""


def one_by_one(spans: Any) -> Any:
    """Return a list of objects for one object of equally long lists, which is how ``datasets``
    keeps it; anything else as it is."""
    if isinstance(spans, dict) and {*_STARTS} & {*spans}:
        lists = [values for values in spans.values() if isinstance(values, list)]
        if len(lists) == len(spans) and len({*map(len, lists)}) == 1:
            return [dict(zip(spans, values, strict=True)) for values in zip(*lists, strict=True)]
    return spans


def _parse(value: Any, what: str, where: str) -> Mark:
    match value:
        case [start, end, label]:
            repeats = None
        case dict():
            start, end, label = (_either(value, keys) for keys in (_STARTS, _ENDS, _LABELS))
            if "label" in value and value.get("labels") not in (None, label, [label]):
                raise wrong(where, what, value, "a span with one of 'label' and 'labels'")
            if end is None and type(start) is type(value.get("length")) is int:
                end = start + value["length"]
            others = {value[key] for key in _OTHER_LABELS if isinstance(value.get(key), str)}
            if label is None and len(others) == 1:
                label = others.pop()
            repeats = value.get("text")
        case _:
            raise wrong(where, what, value, _A_SPAN)
    labels = label if isinstance(label, list) else [label]
    if not (type(start) is type(end) is int and labels and set(map(type, labels)) == {str}):
        raise wrong(where, what, value, _A_SPAN)
    return Mark(start, end, labels, repeats if isinstance(repeats, str) else None)


def _either(value: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if key in value), None)


def answer_of(value: Any) -> Any:
    """What an annotator said of a span, as :mod:`~onetrunk.data.formats.exports` reads rows."""
    answer = value.get("answer") if isinstance(value, dict) else None
    return answer.strip().lower() if isinstance(answer, str) else answer


def marks_of(values: Any, what: str, where: str) -> dict[int, Mark]:
    """The spans that were not rejected, by the number of their item."""
    if not isinstance(values, list):
        raise wrong(where, what, values, "a list of spans")
    return {
        item: _parse(value, f"{what} item {item}", where)
        for item, value in enumerate(values, 1)
        if answer_of(value) not in REJECTED
    }
