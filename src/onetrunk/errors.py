"""The one exception a user is meant to see, and the wording of its suggestions."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path


class UserError(Exception):
    """Wrong input: the command line prints the message on one line and exits with code 2.

    The message names the file, the row and the value at fault, and the nearest valid choice.
    """


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a suggestion to append to an error message: nearest choice, then what is valid.

    >>> nearest("tcp", ["ner", "tc"])
    "did you mean 'tc'? valid: ner, tc"
    """
    names = sorted(map(str, choices))
    if not names:
        return "there is nothing to choose from"
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(value.casefold(), list(folded), n=1, cutoff=0.5)
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    return f"{hint}valid: {shown}"


def nearest_path(path: Path, candidates: Iterable[Path]) -> str:
    """Return ``; did you mean PATH?`` to append to an error message about a path that is missing.

    PATH is the candidate whose name, with or without its ending, is most like that of ``path``.
    If none is alike, the result is empty.

    >>> nearest_path(Path("runs/tlp"), [Path("runs/joint"), Path("runs/demo/tpl")])
    '; did you mean runs/demo/tpl?'
    """

    def ratio(one: str, other: str) -> float:
        return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()

    def likeness(candidate: Path) -> tuple[float, float]:
        names = max(ratio(path.name, name) for name in (candidate.name, candidate.stem))
        return names, ratio(str(path), str(candidate))

    best = max(candidates, key=likeness, default=None)
    return "" if best is None or likeness(best)[0] < 0.6 else f"; did you mean {best}?"
