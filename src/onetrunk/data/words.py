"""The words of a text, by a rule that knows the text alone.

A word is a run of letters, digits and underscores, a CJK character, or any other visible character
with its modifiers, such as a punctuation mark or an emoji. ``web/src/words.js`` has the same rule.
"""

import regex

Span = tuple[int, int]
"""Half-open character interval ``(start, end)`` of a text."""

# Format characters (a soft hyphen, a zero-width space) are invisible: inside a run of letters they
# are part of it, elsewhere of nothing.
_CJK = r"\p{Han}\p{Hiragana}\p{Katakana}"
_LETTERS = rf"[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--[{_CJK}]]+"
_INVISIBLE = r"[\s\p{Cf}\p{Cc}]"
_RUN = regex.compile(rf"(?V1){_LETTERS}")
_WORD = regex.compile(
    rf"(?V1)[{_CJK}]\p{{M}}*|{_LETTERS}(?:\p{{Cf}}+{_LETTERS})*|(?!{_INVISIBLE})\X"
)
_EDGES = regex.compile(rf"(?V1){_INVISIBLE}*+(.*?){_INVISIBLE}*", regex.DOTALL)


def words_of(text: str) -> list[Span]:
    """The words of a text, in order."""
    return [match.span() for match in _WORD.finditer(text)]


def inside_word(text: str, at: int) -> bool:
    """Whether a position of a text lies between two characters of one run of letters."""
    return 0 < at < len(text) and _RUN.fullmatch(text, at - 1, at + 1) is not None


def visible(text: str, start: int, end: int) -> Span:
    """A span without the white space and the invisible characters at its edges; as it is, if it
    holds nothing else."""
    match = _EDGES.fullmatch(text, start, end)
    return match.span(1) if match and match[1] else (start, end)
