"""Tag schemes: IOB1, BIOES (also as BMES) and BILOU are recognised and converted to IOB2.

In all of them a tag is ``O``, or a letter, a hyphen and a type. IOB1 starts an entity with ``I``,
or with ``B`` where it follows another entity of the same type. BIOES ends an entity with ``E`` and
marks an entity of one word with ``S``; BILOU writes ``L`` and ``U`` instead. BMES is BIOES with
``M`` instead of ``I``.

The first entity of a source shows the scheme: only in IOB1 it begins with ``I``, and only in BIOES
and BILOU it has an ``E``, ``S``, ``L`` or ``U``. All tags that follow must fit the same scheme. So
one pass over the source is enough, and nothing is guessed.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from onetrunk.data.formats.table import show
from onetrunk.data.words import visible
from onetrunk.errors import UserError, nearest

SCHEMES = ("iob1", "iob2", "bioes", "bilou")

# The letters of the two schemes that mark the end of an entity, and their equivalents in BIOES.
_BIOES = {"B": "B", "I": "I", "M": "I", "E": "E", "S": "S", "W": "S"}
_BILOU = {"B": "B", "I": "I", "L": "E", "U": "S"}
_JOINED = re.compile(r"\S[|,;/+#] ?[BIESLUMW]-\S")
_TAGS = {"bioes": "B-type, I-type, E-type or S-type", "bilou": "B-type, I-type, L-type or U-type"}


def detect(tags: Sequence[str]) -> tuple[str, int] | None:
    """Return the scheme of a sentence's first entity, and the index of the tag that shows it.

    The result is None if there is no entity.
    """
    for first, tag in enumerate(tags):
        match tag[:1]:
            case "O" if tag == "O":
                continue
            case "B":
                break
            case "I":
                return "iob1", first
            case "L" | "U":
                return "bilou", first
            case _:
                return ("bioes" if tag[:1] in _BIOES else "iob2"), first
    else:
        return None
    for index in range(first + 1, len(tags)):
        if tags[index][1:] != tags[first][1:] or tags[index][:1] == "B":
            break
        if tags[index][:1] in "MEL":
            return ("bilou" if tags[index][0] == "L" else "bioes"), index
    return "iob2", first


def find_fault(tags: Sequence[str], scheme: str = "iob2") -> tuple[int, str] | None:
    """Return the index of the first tag that is wrong in the scheme and a phrase saying why.

    The result is None if all tags are valid.
    """
    if scheme in ("iob1", "iob2"):
        return _fault_of_iob(tags, scheme)
    return _fault_of_marked_ends(tags, scheme)


def to_iob2(tags: Sequence[str], scheme: str) -> list[str]:
    """Convert tags that are valid in the scheme to IOB2; the entities stay the same."""
    if scheme == "iob2":
        return list(tags)
    if scheme == "iob1":
        before = ["", *(tag[2:] for tag in tags)]
        return [
            f"B-{kind}" if tag[0] == "I" and (kind := tag[2:]) != last else tag
            for tag, last in zip(tags, before, strict=False)
        ]
    letters = _BIOES if scheme == "bioes" else _BILOU
    iob2 = {"B": "B", "I": "I", "E": "I", "S": "B"}
    return [tag if tag == "O" else iob2[letters[tag[0]]] + tag[1:] for tag in tags]


class Converter:
    """Converts the tags of one source to IOB2: finds the scheme and checks every tag against it."""

    def __init__(self, scheme: str = "auto") -> None:
        """Raises UserError for an unknown scheme."""
        if scheme not in ("auto", *SCHEMES):
            raise UserError(f"scheme {scheme!r} is unknown; {nearest(scheme, ('auto', *SCHEMES))}")
        self.scheme = None if scheme == "auto" else scheme
        self._evidence = ""

    def convert(self, tags: Sequence[str], at: Callable[[int], str]) -> list[str]:
        """Return the tags of one sentence in IOB2; ``at`` gives the place of a tag for messages.

        Raises UserError for a tag that does not fit the scheme. If the scheme was detected, the
        message also names the place that shows it.
        """
        for index, tag in enumerate(tags):
            if _JOINED.search(tag):
                why = "joins several tags; write one for each word, or spans for nested-ner"
                raise UserError(f"{at(index)}: tag {index + 1} {show(tag)} {why}")
            if tag != bare(tag) and is_tag(bare(tag)):  # its type would be another one
                why = f"has white space or invisible characters; write {bare(tag)!r}"
                raise UserError(f"{at(index)}: tag {index + 1} {tag!a} {why}")
        if self.scheme is None and (detected := detect(tags)):
            self.scheme, index = detected
            self._evidence = f"{at(index)} (tag {index + 1} {show(tags[index])})"
        if self.scheme is None:
            return list(tags)
        if fault := find_fault(tags, self.scheme):
            index, why = fault
            before, after = tags[index - 1][2:], tags[index][2:]
            if index and before != after and before.casefold() == after.casefold():
                why = f"tag {index + 1} {tags[index]!r} follows a {before!r}: write it in one way"
            elif self._evidence and is_tag(tags[index]):
                why += f"; the tags are {self.scheme.upper()} by {self._evidence}; "
                why += "write all tags in one scheme"
            raise UserError(f"{at(index)}: {why}")
        return to_iob2(tags, self.scheme)


@lru_cache
def bare(tag: str) -> str:
    """A tag without white space and invisible characters around it and its type, for files in which
    they are not part of a value."""
    start, end = visible(tag, 0, len(tag))
    if not is_tag(tag[start:end]) or end - start < 3:
        return tag[start:end]
    return tag[start : start + 2] + tag[visible(tag, start + 2, end)[0] : end]


def is_tag(tag: str) -> bool:
    """Whether the string is a tag in any of the schemes."""
    return tag == "O" or (tag[:1] in {*_BIOES, *_BILOU} and tag[1:2] == "-" and len(tag) > 2)


def _meant(tag: str) -> str:
    """Return a question for a tag that is not quite one; nothing if it is unlike any."""
    if tag == "-":
        return "; spaCy writes it for a word that nobody annotated: leave out its sentence"
    if tag in ("o", "0", "_"):
        return "; did you mean 'O'?"
    for pattern in (r"(?P<letter>.)[-_:./](?P<kind>.+)", r"(?P<kind>.+)[-_](?P<letter>.)"):
        match = re.fullmatch(pattern, tag)
        if match and is_tag(fixed := f"{match['letter'].upper()}-{match['kind']}"):
            return f"; did you mean {fixed!r}?" if fixed != tag else ""
    return ""


def _fault_of_iob(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    # In IOB2, I must follow a tag of its type. In IOB1, B must.
    letter, fix = ("I", "B") if scheme == "iob2" else ("B", "I")
    before = ""
    for index, tag in enumerate(tags):
        kind = tag[2:]
        if tag != "O" and not (kind and tag[:2] in ("B-", "I-")):
            return index, f"tag {index + 1} {tag!r} is not O, B-type or I-type{_meant(tag)}"
        if tag[0] == letter and kind != before:
            fixed = repr(f"{fix}-{kind}")[1:-1]  # repr keeps the message on one line
            why = f"follows no entity of its type; IOB1 writes {fixed}"
            if scheme == "iob2":
                why = f"does not continue an entity; write {fixed} to start one"
            return index, f"tag {index + 1} {tag!r} {why}"
        before = kind
    return None


def _fault_of_marked_ends(tags: Sequence[str], scheme: str) -> tuple[int, str] | None:
    letters = _BIOES if scheme == "bioes" else _BILOU
    open_type = ""  # the type of an entity that has begun and not ended
    for index, tag in enumerate([*tags, "O"]):
        letter, kind = letters.get(tag[:1], ""), tag[2:]
        if tag != "O" and not (letter and is_tag(tag)):
            return index, f"tag {index + 1} {tag!r} is not O, {_TAGS[scheme]}{_meant(tag)}"
        continues = letter in ("I", "E")
        if open_type and not (continues and kind == open_type):
            why = "leaves its entity without an end"
            return index - 1, f"tag {index} {tags[index - 1]!r} {why}"
        if continues and not open_type:
            return index, f"tag {index + 1} {tag!r} does not continue an entity"
        open_type = kind if letter in ("B", "I") else ""
    return None
