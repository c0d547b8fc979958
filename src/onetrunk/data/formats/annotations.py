"""Text with character spans becomes annotated text, whoever wrote the spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from onetrunk.data.formats.marks import HINTS, REJECTED, Mark, answer_of, marks_of
from onetrunk.data.formats.table import show
from onetrunk.data.iob import entities as entities_of
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, Entity
from onetrunk.data.schemes import Converter, is_tag
from onetrunk.data.words import inside_word, visible
from onetrunk.errors import UserError

_AS_WRITTEN, _UTF16 = "as written", "UTF-16 units"
_LIKE_A_TAG = re.compile("O|[BI][-_:./].+|[ESLUMW][-_][A-Z]{2,}", re.DOTALL)


class Counting:
    """How the offsets of a source count, and whether its labels are tags.

    All its spans decide, and are read when this is asked. A span speaks against a way of counting
    if it is then not inside the text, not the text that the file repeats for it, or begins or ends
    inside a word or with white space.
    """

    def __init__(self, texts: Callable[[], Iterable[tuple[str, Any, str]]] = tuple) -> None:
        """``texts`` gives each text, its list of spans, and the place of both."""
        self._texts = texts

    @cached_property
    def _against(self) -> Counter[str]:
        against: Counter[str] = Counter()
        for text, values, where in self._texts():
            units = text.encode("utf-16-le")
            for mark in marks_of(values, "the list of spans", where).values():
                against[_AS_WRITTEN] += not mark.is_whole(text)
                against[_UTF16] += not mark.in_characters(units).is_whole(text)
                for hint in HINTS:
                    against[hint] += not mark.mended(hint, text).is_whole(text)
        return against

    @cached_property
    def tags(self) -> Converter | None:
        """What joins words to entities, if spans are words with tags (``B-PER``, then ``I-PER``).

        A type may have a name like a tag, such as ``B-52``. So all labels must look like tags, and
        somewhere one must continue the span before it, or be ``O`` beside others.
        """
        labels: set[str] = set()
        continues = False
        for text, values, where in self._texts():
            spans = [
                (mark.start, mark.end, label)
                for mark in marks_of(values, "the list of spans", where).values()
                for label in mark.labels
            ]
            labels |= {label for *_, label in spans}
            continues = continues or any(
                one[:1] in {*"BIM"} and two[:1] in {*"IMEL"} and one[1:] == two[1:]
                for run in _runs(text, spans)
                for (*_, one), (*_, two) in pairwise(run)
            )
        are_tags = all(map(is_tag, labels)) and (continues or labels > {"O"})
        return Converter() if are_tags else None

    @property
    def in_utf16(self) -> bool:
        """Whether offsets count UTF-16 units, as JavaScript does, and not characters."""
        return self._against[_UTF16] < self._against[_AS_WRITTEN]

    @property
    def is_open(self) -> bool:
        """Whether the spans show nothing about this."""
        return self._against[_UTF16] == self._against[_AS_WRITTEN]

    @property
    def hint(self) -> str:
        """What may be wrong with offsets that do not fit, in brackets; empty if unknown."""
        return f" ({self._likely})" if self._likely else ""

    def hint_for(self, text: str, marks: Iterable[Mark]) -> str:
        """The hint, if it mends all spans of a text; not where it says nothing about this one."""
        mends = all(mark.mended(self._likely, text).is_whole(text) for mark in marks)
        return self.hint if mends else ""

    @property
    def _likely(self) -> str:
        """The hint that mends most of the spans that do not fit."""
        best = min(HINTS, key=lambda hint: self._against[hint])
        wrong_now = self._against[_AS_WRITTEN]
        return best if wrong_now > 1 and 2 * self._against[best] < wrong_now else ""


def annotated_text(
    text: str, values: Any, what: str, where: str, notes: Notes, nested: bool = False,
    counting: Counting | None = None,
) -> AnnotatedText:  # fmt: skip
    """Return a text with the entities of a list of spans, which messages call ``what``.

    A span is ``[start, end, label]``, or an object with ``start`` (``start_offset``, ``offset``),
    ``end`` (``end_offset``; or ``length``) and ``label`` (``labels``, a list; or what models say:
    ``type``, ``entity_group``, ``entity``, ``category``, ``tag``). An object may also hold the
    ``text`` of the span, which is compared. Offsets in UTF-16 units are converted if they fit in no
    other way, or if ``counting`` finds that the source has them. White space and invisible
    characters at the edges of a span are left out of it. If spans overlap, or with ``nested`` those
    of one type, the longest is kept. ``notes`` counts all three, and the spans that begin or end
    inside a word. If the spans of the source are words with tags (:attr:`Counting.tags`), they are
    joined.

    Raises UserError for a value that is not a span, for a span that is empty or not inside
    the text, and for tags that do not fit their scheme.
    """
    counting = counting or Counting()
    groups: dict[str, list[Entity]] = {}
    spans = _spans(text, values, what, where, notes, counting)
    if any(is_tag(label) for *_, label in spans) and counting.tags:
        spans = _joined(text, spans, counting.tags, what, where, notes)
    else:
        for *_, label in spans:
            if _LIKE_A_TAG.fullmatch(label):
                notes.add("spans whose labels look like tags, read as types",
                          f"{where}: {show(label)}")  # fmt: skip
    for span in spans:
        groups.setdefault(span[2] if nested else "", []).append(span)
    longest = [_longest(spans, len(text), where, notes) for spans in groups.values()]
    entities = sorted(span for spans in longest for span in spans)
    for start, end, _ in entities:
        if inside_word(text, start) or inside_word(text, end):
            place = f"{where}: {show(text[start:end])}"
            notes.add(f"spans that begin or end inside a word{counting.hint}", place)
    return AnnotatedText(text, tuple(entities))


def as_counted(text: str, regions: Sequence[tuple[int, int, str]], where: str, notes: Notes) -> str:
    """Return a text with the line ends that its regions count: some tools make ``\\r\\n`` one.

    A region is a start, an end, and the text that the tool shows there.
    """

    def fit(text: str) -> bool:
        return all(text[start:end].split() == shown.split() for start, end, shown in regions)

    shorter = text.replace("\r\n", "\n")
    if "\r\n" not in text or fit(text) or not fit(shorter):
        return text
    notes.add("texts whose regions count a line end as one character: \\r\\n is read as \\n", where)
    return shorter


def _spans(
    text: str, values: Any, what: str, where: str, notes: Notes, counting: Counting
) -> list[Entity]:
    """Check a list of spans and take white space away from their edges."""
    marks = marks_of(values, what, where)
    for value in values:
        answer = answer_of(value)
        if answer in REJECTED:
            notes.add(f"spans with the answer {answer!r}, left out", where)
        elif answer not in ("accept", None):
            odd = "spans whose answer is not accept, reject or ignore, read as accepted"
            notes.add(odd, f"{where}: {show(answer)}")
    if marks and max(text, default="") > "\uffff":
        units = text.encode("utf-16-le")
        converted = {item: mark.in_characters(units) for item, mark in marks.items()}
        if converted != marks and _fit(converted.values(), text):
            if not _fit(marks.values(), text) or counting.in_utf16:
                notes.add("texts with span offsets in UTF-16 units, converted to characters", where)
                marks = converted
            elif counting.is_open:
                notes.add("texts with span offsets that may be characters or UTF-16 units, read as "
                          "characters", where)  # fmt: skip
    spans = []
    for item, mark in marks.items():
        if why := mark.fault(text):
            shown = show(values[item - 1])
            hint = counting.hint_for(text, marks.values())
            raise UserError(f"{where}: {what} item {item} {why}: {shown}{hint}")
        start, end = visible(text, mark.start, mark.end)
        if (start, end) != (mark.start, mark.end):
            notes.add("spans with white space at an edge, which is left out", where)
        spans += [(start, end, label) for label in mark.labels]
    return spans


def _runs(text: str, spans: Iterable[Entity]) -> list[list[Entity]]:
    """Divide spans, in order, where something stands between them."""
    runs: list[list[Entity]] = []
    for span in sorted(spans):
        if not runs or text[runs[-1][-1][1] : span[0]].strip():
            runs.append([])
        runs[-1].append(span)
    return runs


def _joined(
    text: str, spans: Sequence[Entity], converter: Converter, what: str, where: str, notes: Notes
) -> list[Entity]:
    """Join words with tags to entities, by the rules of their scheme."""
    joined = []
    for run in _runs(text, spans):
        words = [show(text[start:end]) for start, end, _ in run]
        for at, ((_, end, _), (start, _, _)) in enumerate(pairwise(run)):
            if start < end:
                why = "have tags and overlap; write an entity as one span with its type"
                raise UserError(f"{where}: {what}: {words[at]} and {words[at + 1]} {why}")
        at_word = [f"{where}: {what}: {word}" for word in words]
        tags = converter.convert([label for *_, label in run], at_word.__getitem__)
        joined += [(run[a][0], run[b - 1][1], kind) for a, b, kind in entities_of(tags)]
        if outside := tags.count("O"):
            notes.add("spans with the tag 'O', left out", where, outside)
        if inside := len(tags) - outside:
            notes.add("spans labelled with tags, joined to entities", where, inside)
    return joined


def _fit(marks: Iterable[Mark], text: str) -> bool:
    return all(mark.fits(text) for mark in marks)


def _longest(spans: Sequence[Entity], length: int, where: str, notes: Notes) -> list[Entity]:
    """Keep the longest of overlapping spans, and the first of equally long ones; sort them."""
    covered = bytearray(length)
    longest = []
    for start, end, label in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if 1 in covered[start:end]:
            notes.add("spans that overlap a longer one, left out", where)
        else:
            covered[start:end] = b"\1" * (end - start)
            longest.append((start, end, label))
    return sorted(longest)
