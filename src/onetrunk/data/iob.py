"""IOB2 tags: ``B-type`` starts an entity, ``I-type`` continues it, ``O`` is outside.

The type is everything after the first hyphen. An ``I-type`` continues an entity only right
after ``B-type`` or ``I-type`` of the same type; anywhere else it is an orphan.
"""

from __future__ import annotations

from collections.abc import Sequence


def find_fault(tags: Sequence[str]) -> tuple[int, str] | None:
    """Return the index of the first tag that is not valid IOB2 and a phrase saying why, or None.

    The phrase counts from one: ``tag 3 'I-PER' does not continue an entity; ...``.
    """
    before = ""
    for at, tag in enumerate(tags):
        kind = tag[2:]
        if tag != "O" and not (kind and tag[:2] in ("B-", "I-")):
            return at, f"tag {at + 1} {tag!r} is not O, B-type or I-type"
        if tag[0] == "I" and kind != before:
            fix = repr(f"B-{kind}")[1:-1]  # a message is one line, whatever the type holds
            return at, f"tag {at + 1} {tag!r} does not continue an entity; write {fix} to start one"
        before = kind
    return None


def entities(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the entities as ``(first word, word after the last, type)``, in order.

    Strict, like seqeval with ``mode="strict", scheme=IOB2``: only ``B-type`` starts an entity.
    An orphan ``I-type`` starts nothing, ends the entity before it and belongs to none; so does
    any tag that is not IOB2 at all (seqeval raises on most of those).
    """
    found: list[tuple[int, int, str]] = []
    start, kind = 0, ""
    for at, tag in enumerate(tags):
        if kind and tag == f"I-{kind}":
            continue
        if kind:
            found.append((start, at, kind))
        start, kind = at, tag[2:] if tag.startswith("B-") else ""
    if kind:
        found.append((start, len(tags), kind))
    return found
