"""Where a string stands in a text."""

import re

from onetrunk.data.words import inside_word


def places(text: str, surface: str, whole: bool = True, any_case: bool = False) -> list[int]:
    """Return where a string begins in a text; if ``whole``, not where it cuts a word."""
    flags = re.IGNORECASE if any_case else 0
    return [
        match.start()
        for match in re.finditer(re.escape(surface), text, flags)
        if not (whole and (inside_word(text, match.start()) or inside_word(text, match.end())))
    ]


def likely_places(text: str, surface: str) -> list[int]:
    """Return where a string that someone names begins: as whole words, if it does anywhere."""
    return places(text, surface) or places(text, surface, whole=False)
