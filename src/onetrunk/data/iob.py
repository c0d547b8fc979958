"""IOB2 tags: ``B-type`` starts an entity, ``I-type`` continues it, ``O`` is outside.

The type is everything after the first hyphen. An ``I-type`` continues an entity only if the tag
before it is ``B-type`` or ``I-type`` of the same type. Anywhere else it is an orphan.
"""

from collections.abc import Sequence


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
