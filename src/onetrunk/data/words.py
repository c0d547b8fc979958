"""The words of a text, by a rule that knows the text alone.

A word is one of these: an address (``https://…``, ``mia@mail.example``), a name with its sign
(``@mia``, ``#oslo``), an abbreviation with dots (``U.S.``), an initial (``J.`` in ``J. Smith``),
letters and digits, which may be joined by ``- &`` (``Jean-Luc``, ``R&D``) and between digits by
``. , : /`` (``9:30``, ``1,000``, ``12/11``), the end of an English contraction (``'s``), a repeated
punctuation mark (``...``), a character of a script in which a name may end anywhere (Chinese,
Japanese, Korean, Thai, Lao, Khmer, Burmese), or any other visible character with its modifiers,
such as an emoji.
``web/src/words.js`` has the same rule.
"""

import regex

Span = tuple[int, int]
"""Half-open character interval ``(start, end)`` of a text."""

# Scripts without spaces between words; in Korean, particles follow a name without one.
_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
UNSPACED = rf"[[{_SCRIPTS}]--\p{{M}}]"
"""A set for regular expressions: characters each of which is a word, with the marks on it."""
# Format characters (a soft hyphen, a zero-width space) are invisible: inside a run of letters they
# are part of it, elsewhere of nothing.
_LETTER = rf"[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--{UNSPACED}]"
_LETTERS = rf"{_LETTER}+(?:\p{{Cf}}+{_LETTER}+)*"
_INVISIBLE = r"[\s\p{Cf}\p{Cc}]"
_NO_URL = r"\p{White_Space}\x1c-\x1f<>\""
_URL = rf"(?:[hH][tT][tT][pP][sS]?://|[wW]{{3}}\.)[^{_NO_URL}]{{0,2000}}[^{_NO_URL}\p{{P}}]/?"
# Limits keep time linear in the length of a text, whatever it holds.
_MAIL = (
    rf"{_LETTER}[[\p{{L}}\p{{M}}\p{{N}}_.+\-]--{UNSPACED}]{{0,63}}@{_LETTERS}(?:[.\-]{_LETTERS})*"
)
_ALONE = rf"[\p{{L}}--{UNSPACED}]"
_ABBREVIATION = rf"{_ALONE}(?:\.{_ALONE})+(?![\p{{L}}\p{{M}}\p{{N}}])\.?"
# The J. of J. Smith, but not the B of "in room B. Then", where a word in small letters is before.
_INITIAL = r"(?<!(?<!\p{L})\p{Ll}\p{L}{0,40} )\p{Lu}\.(?= \p{Lu})"
_HYPHENS = r"\-\u2010\u2011"  # word processors write the last one
_JOINED = (
    rf"(?:\+(?=\p{{N}}))?{_LETTERS}(?:(?:[{_HYPHENS}&]|(?<=\p{{N}})[.,:/](?=\p{{N}})){_LETTERS})*"
)
_CONTRACTION = r"['’](?:[sSdDmMtT]|ll|LL|re|RE|ve|VE)(?![\p{L}\p{M}\p{N}_])"
_REPEATED = r"([\p{P}\p{Sm}\p{Sc}\p{Sk}])\1+(?!\p{M})"
_OTHER = rf"{UNSPACED}\p{{M}}*|(?!{_INVISIBLE})\X"
_WORD = regex.compile(
    rf"(?V1){_URL}|{_MAIL}|[@#]{_LETTERS}|{_ABBREVIATION}|{_INITIAL}|{_JOINED}|{_CONTRACTION}"
    rf"|{_REPEATED}|{_OTHER}"
)
_RUN = regex.compile(rf"(?V1){_LETTERS}|{_OTHER}")
_PAIR = regex.compile(rf"(?V1){_LETTER}{{2}}")
_HIDDEN = regex.compile(_INVISIBLE)
# Variation selectors and fillers, too, show nothing where they stand alone.
_BLANK = regex.compile(rf"(?V1)[{_INVISIBLE}\p{{Default_Ignorable_Code_Point}}]*")


def words_of(text: str) -> list[Span]:
    """The words of a text, in order."""
    return [match.span() for match in _WORD.finditer(text)]


def runs_of(text: str) -> list[Span]:
    """What words are made of, in order: runs of letters and digits, and single other characters."""
    return [match.span() for match in _RUN.finditer(text)]


def inside_word(text: str, at: int) -> bool:
    """Whether a position of a text lies between two characters of one run of letters."""
    return 0 < at < len(text) and _PAIR.fullmatch(text, at - 1, at + 1) is not None


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: white space, control and invisible characters at most."""
    return _BLANK.fullmatch(text) is not None


def visible(text: str, start: int, end: int) -> Span:
    """A span without the white space and the invisible characters at its edges; as it is, if it
    holds nothing else."""
    first, after = start, end
    while first < after and _HIDDEN.match(text, first):
        first += 1
    while first < after and _HIDDEN.match(text, after - 1):
        after -= 1
    return (first, after) if first < after else (start, end)
