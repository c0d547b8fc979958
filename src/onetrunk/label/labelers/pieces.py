"""Long texts: cut them into pieces that a labeler can take, and join the answers."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing

from onetrunk.data.words import Span, runs_of
from onetrunk.label.base import Answer, Entity

_SENTENCE_ENDS = frozenset(".!?。！？…")
IN_PIECES = "texts read in pieces"


def pieces(text: str, limit: int, split: Callable[[str], Sequence[Span]] = runs_of) -> list[Span]:
    """Cut a text into consecutive spans of at most ``limit`` words, as ``split`` counts them.

    A piece ends after the last sentence end in its second half; without one, it is full. Every
    word is in exactly one piece.
    """
    if len(text) <= limit:  # each word has at least one character
        return [(0, len(text))]
    words = split(text)
    spans, first, start = [], 0, 0
    while len(words) - first > limit:
        last = first + limit - 1
        for index in range(last, first + limit // 2 - 1, -1):
            if text[words[index][1] - 1] in _SENTENCE_ENDS:
                last = index
                break
        spans.append((start, words[last][1]))
        start, first = words[last][1], last + 1
    return [*spans, (start, len(text))]


def label_in_pieces(
    texts: Iterable[str],
    limit: int,
    label: Callable[[Iterator[str]], Generator[Answer, None, None]],
    split: Callable[[str], Sequence[Span]] = runs_of,
) -> Generator[Answer, None, None]:
    """Give the pieces of all texts to ``label`` as one stream, and yield one answer per text.

    ``label`` may read ahead. If a piece has an error, its text has that error.
    """
    spans_of_texts: deque[list[Span]] = deque()

    def stream() -> Iterator[str]:
        for text in texts:
            spans = pieces(text, limit, split)
            spans_of_texts.append(spans)
            for start, end in spans:
                yield text[start:end]

    with closing(label(stream())) as answers:
        of_text: list[Answer] = []
        for answer in answers:
            of_text.append(answer)
            if len(of_text) == len(spans_of_texts[0]):
                yield _join(spans_of_texts.popleft(), of_text)
                of_text = []


def _join(spans: Sequence[Span], answers: Sequence[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    counts = Counter({IN_PIECES: 1})
    entities: list[Entity] = []
    for (offset, _), answer in zip(spans, answers, strict=True):
        counts.update(answer.counts)
        entities += [Entity(offset + start, offset + end, t) for start, end, t in answer.entities]
    error = next((answer.error for answer in answers if answer.error), "")
    return Answer(() if error else tuple(entities), counts, error)
