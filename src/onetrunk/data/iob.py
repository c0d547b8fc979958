"""IOB2 tags: ``B-type`` starts an entity, ``I-type`` continues it, ``O`` is outside.

The type is everything after the first hyphen. An ``I-type`` continues an entity only if the tag
before it is ``B-type`` or ``I-type`` of the same type. Anywhere else it is an orphan.
"""

from __future__ import annotations

from collections.abc import Sequence


def find_fault(tags: Sequence[str]) -> tuple[int, str] | None:
    """Return the index of the first tag that is not valid IOB2 and a phrase saying why, or None.

    The phrase counts from one: ``tag 3 'I-PER' does not continue an entity; ...``.
    """
    before = ""
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag != "O" and not (kind and tag[:2] in ("B-", "I-")):
            return index, f"tag {index + 1} {tag!r} is not O, B-type or I-type"
        if tag[0] == "I" and kind != before:
            fix = repr(f"B-{kind}")[1:-1]  # repr keeps the message on one line
            why = f"does not continue an entity; write {fix} to start one"
            return index, f"tag {index + 1} {tag!r} {why}"
        before = kind
    return None


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
