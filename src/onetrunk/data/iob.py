"""IOB2 tags: ``B-type`` starts an entity, ``I-type`` continues it, ``O`` is outside.

The type is everything after the first hyphen. An ``I-type`` continues an entity only if the tag
before it is ``B-type`` or ``I-type`` of the same type. Anywhere else it is an orphan.
"""

from collections.abc import Sequence
from itertools import pairwise


def entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the entities as ``(first word, word after the last, type)``, in order.

    This is strict, like seqeval with ``mode="strict", scheme=IOB2``: only ``B-type`` starts an
    entity. An orphan ``I-type`` ends the entity before it and belongs to none. So does any tag
    that is not IOB2 at all (seqeval raises an error for most of those).
    """
    complete: list[tuple[int, int, str]] = []
    start, kind = 0, ""
    for index, tag in enumerate(tags):
        if kind and tag == f"I-{kind}":
            continue
        if kind:
            complete.append((start, index, kind))
        start, kind = index, tag[2:] if tag.startswith("B-") else ""
    if kind:
        complete.append((start, len(tags), kind))
    return complete


def tags_of_words(words: Sequence[str], spans: Sequence[tuple[int, int, str]]) -> list[str]:
    """The IOB2 tag of each word, given entities ``(first character, character after the last,
    type)`` of the words joined by single spaces. An entity has every word that it reaches into."""
    tags, start, inside = [], 0, -1
    for word in words:
        end = start + len(word)
        entity = next((n for n, (a, b, _) in enumerate(spans) if a < end and b > start), -1)
        prefix = "I" if entity == inside else "B"
        tags.append("O" if entity < 0 else f"{prefix}-{spans[entity][2]}")
        start, inside = end + 1, entity
    return tags


def cut_at_spans(
    text: str, words: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int, str]]
) -> tuple[list[str], list[str]]:
    """The words of a text with IOB2 tags, cut where an entity begins or ends inside one.

    So each entity is a run of whole words. ``spans`` are in order and do not overlap.
    """
    edges = sorted({edge for start, end, _ in spans for edge in (start, end)})
    tokens, tags, before = [], [], -1
    for first, last in words:
        cuts = [first, *(edge for edge in edges if first < edge < last), last]
        for start, end in pairwise(cuts):
            entity = next((n for n, (a, b, _) in enumerate(spans) if a <= start and end <= b), -1)
            tokens.append(text[start:end])
            prefix = "I" if entity == before else "B"
            tags.append("O" if entity < 0 else f"{prefix}-{spans[entity][2]}")
            before = entity
    return tokens, tags
