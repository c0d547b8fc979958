"""Long texts: read in pieces that a labeler can take, cut between sentences where possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from onetrunk.data.rows import Span, TaggedText
from onetrunk.label.base import Answer, Entity

_SENTENCE_ENDS = frozenset(".!?。！？…")
IN_PIECES = "texts read in pieces"


def words_of(text: str) -> Sequence[Span]:
    """The words of a text as the reader of training rows splits it."""
    return TaggedText.from_text(text).words


def pieces(text: str, limit: int, split: Callable[[str], Sequence[Span]] = words_of) -> list[Span]:
    """Cut a text into consecutive spans of at most ``limit`` words, as ``split`` counts them.

    A piece ends after the last sentence end in its second half, or is full. Every word is in
    exactly one piece.
    """
    if len(text) <= limit:  # a word has a character at least
        return [(0, len(text))]
    words = split(text)
    cut, first, start = [], 0, 0
    while len(words) - first > limit:
        last = first + limit - 1
        for index in range(last, first + limit // 2 - 1, -1):
            if text[words[index][1] - 1] in _SENTENCE_ENDS:
                last = index
                break
        cut.append((start, words[last][1]))
        start, first = words[last][1], last + 1
    return [*cut, (start, len(text))]


def label_in_pieces(
    texts: Iterable[str],
    cut: Callable[[str], list[Span]],
    label: Callable[[Iterator[str]], Iterable[Iterable[Entity]]],
) -> Iterator[Answer]:
    """Give the pieces of all texts to ``label`` as one stream and put its answers together."""
    waiting: deque[list[Span]] = deque()

    def stream() -> Iterator[str]:
        for text in texts:
            waiting.append(cut(text))
            for start, end in waiting[-1]:
                yield text[start:end]

    entities: list[Entity] = []
    done = 0
    for found in label(stream()):
        spans = waiting[0]
        offset = spans[done][0]
        entities += [Entity(offset + start, offset + end, kind) for start, end, kind in found]
        done += 1
        if done == len(spans):
            yield Answer(tuple(entities), {IN_PIECES: 1} if done > 1 else {})
            waiting.popleft()
            entities, done = [], 0
