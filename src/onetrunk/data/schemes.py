"""Tag schemes: IOB1, BIOES (and BMES) and BILOU are recognised and converted to IOB2.

In all of them a tag is ``O`` or a letter, a hyphen and a type. IOB1 starts an entity with ``I``,
and with ``B`` only right after another of the same type. BIOES ends an entity with ``E`` and marks
a single word with ``S``; BILOU writes ``L`` and ``U`` for them, and BMES ``M`` in place of ``I``.

Every entity shows its scheme: it begins with ``I`` in IOB1 alone (a ``B`` there follows an entity
that does), and has an ``E``, ``S``, ``L`` or ``U`` in all but IOB2. So the first entity of a
source decides, and whatever follows must agree: one pass is enough, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onetrunk.data import iob
from onetrunk.data.formats.table import show
from onetrunk.errors import UserError, nearest

SCHEMES = ("iob1", "iob2", "bioes", "bilou")

# What the letters of the schemes that mark an entity's end are called here.
_BIOES = {"B": "B", "I": "I", "M": "I", "E": "E", "S": "S", "W": "S"}
_BILOU = {"B": "B", "I": "I", "L": "E", "U": "S"}
_WORDED = {"bioes": "B-type, I-type, E-type or S-type", "bilou": "B-type, I-type, L-type or U-type"}


def detect(tags: Sequence[str]) -> tuple[str, int] | None:
    """The scheme of a sentence's first entity, and the index of the tag that shows it.

    None if there is no entity.
    """
    for at, tag in enumerate(tags):
        match tag[:1]:
            case "O" if tag == "O":
                continue
            case "B":
                break
            case "I":
                return "iob1", at
            case "L" | "U":
                return "bilou", at
            case _:
                return ("bioes" if tag[:1] in _BIOES else "iob2"), at
    else:
        return None
    for end in range(at + 1, len(tags)):
        if tags[end][1:] != tags[at][1:] or tags[end][:1] == "B":
            break
        if tags[end][:1] in "MEL":
            return ("bilou" if tags[end][0] == "L" else "bioes"), end
    return "iob2", at


def find_fault(tags: Sequence[str], scheme: str = "iob2") -> tuple[int, str] | None:
    """Index of the first tag that the scheme does not allow and a phrase saying why, or None."""
    if scheme == "iob2":
        return iob.find_fault(tags)
    if scheme == "iob1":
        return _fault_of_iob1(tags)
    return _fault_of_marked_ends(tags, scheme)


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """The same entities in IOB2; the tags must be valid in the scheme."""
    if scheme == "iob2":
        return list(tags)
    if scheme == "iob1":
        before = ["", *(tag[2:] for tag in tags)]
        return [
            f"B-{kind}" if tag[0] == "I" and (kind := tag[2:]) != last else tag
            for tag, last in zip(tags, before, strict=False)
        ]
    letters = _BIOES if scheme == "bioes" else _BILOU
    plain = {"B": "B", "I": "I", "E": "I", "S": "B"}
    return [tag if tag == "O" else plain[letters[tag[0]]] + tag[1:] for tag in tags]


class Converter:
    """Turns the tags of one source into IOB2: finds the scheme, then holds the source to it."""

    def __init__(self, scheme: str = "auto") -> None:
        """Raises UserError for an unknown scheme."""
        if scheme not in ("auto", *SCHEMES):
            raise UserError(f"scheme {scheme!r} is unknown; {nearest(scheme, ('auto', *SCHEMES))}")
        self.scheme = None if scheme == "auto" else scheme
        self._evidence = ""

    def convert(self, tags: Sequence[str], at: Callable[[int], str]) -> list[str]:
        """One sentence in IOB2; ``at`` gives the place of a tag.

        Raises UserError for a tag that does not fit the scheme: if that was found and not given,
        with the place that shows it.
        """
        if self.scheme is None and (found := detect(tags)):
            self.scheme, shown = found
            self._evidence = f"{at(shown)} (tag {shown + 1} {show(tags[shown])})"
        if self.scheme is None:
            return list(tags)
        if fault := find_fault(tags, self.scheme):
            item, why = fault
            if self._evidence and _is_tag(tags[item]):
                why += f"; the tags are {self.scheme.upper()} by {self._evidence}: "
                why += f"write one scheme, or set scheme ({', '.join(SCHEMES)})"
            raise UserError(f"{at(item)}: {why}")
        return to_iob2(tags, self.scheme)


def _is_tag(tag: str) -> bool:
    """Whether it is a tag of any of the schemes."""
    return tag == "O" or (tag[:1] in {*_BIOES, *_BILOU} and tag[1:2] == "-" and len(tag) > 2)


def _fault_of_iob1(tags: Sequence[str]) -> tuple[int, str] | None:
    before = ""
    for at, tag in enumerate(tags):
        if tag != "O" and not (_is_tag(tag) and tag[0] in "BI"):
            return at, f"tag {at + 1} {tag!r} is not O, B-type or I-type"
        kind = tag[2:]
        if tag[0] == "B" and kind != before:
            fix = repr(f"I-{kind}")[1:-1]  # a message is one line, whatever the type holds
            return at, f"tag {at + 1} {tag!r} follows no entity of its type; IOB1 writes {fix}"
        before = kind
    return None


def _fault_of_marked_ends(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    letters = _BIOES if scheme == "bioes" else _BILOU
    inside = ""  # the type of an entity that has begun and not ended
    for at, tag in enumerate([*tags, "O"]):
        letter, kind = letters.get(tag[:1], ""), tag[2:]
        if tag != "O" and not (letter and _is_tag(tag)):
            return at, f"tag {at + 1} {tag!r} is not O, {_WORDED[scheme]}"
        continues = letter in ("I", "E")
        if inside and not (continues and kind == inside):
            return at - 1, f"tag {at} {tags[at - 1]!r} leaves its entity without an end"
        if continues and not inside:
            return at, f"tag {at + 1} {tag!r} does not continue an entity"
        inside = kind if letter in ("B", "I") else ""
    return None
