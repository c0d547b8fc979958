"""The one exception a user is meant to see, and the wording of its suggestions."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from operator import index
from pathlib import Path
from typing import Any, NoReturn, SupportsIndex

LONGEST = 1500
"""Characters of a message."""


class UserError(Exception):
    """Wrong input: the command line prints the message on one line and exits with code 2.

    The message names the file, the row and the value at fault, and the nearest valid choice. The
    middle of a very long one is left out: a value may be as long as its file.

    ```python
    import onetrunk

    try:
        onetrunk.load("apps/intent")
    except onetrunk.UserError as error:
        print(error)  # says that the folder is not there
    ```
    """

    def __init__(self, message: object) -> None:
        said = str(message)
        if len(said) > LONGEST:
            said = f"{said[: LONGEST * 2 // 3]} … {said[-LONGEST // 3 :]}"
        super().__init__(said)


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust gave up. The class is of no module, and is no Exception."""
    return type(error).__name__ == "PanicException"


_EXTRAS = {
    "fastapi": "serve",
    "fsspec": "annotate",
    "httptools": "serve",
    "httpx": "client",
    "onnx": "export",
    "onnxruntime": "runtime",
    "prometheus_client": "serve",
    "pyarrow": "parquet",
    "ray": "ray",
    "rich": "runtime",
    "tenacity": "client",
    "typer": "runtime",
    "uvicorn": "serve",
}


def extra_of(module: str | None) -> str:
    """The extra of the package that brings a module, as pip takes it: ``onetrunk[train]``."""
    return f"onetrunk[{_EXTRAS.get((module or '').partition('.')[0], 'train')}]"


ALIKE = 0.65
"""How like two names must be for one to be suggested: two letters of three in the same order."""
LISTED, CLOSEST = 12, 5
"""Up to so many choices are listed whole; of more, so many are."""
_ADDRESS = re.compile("[a-z][a-z0-9+.-]+:/")


def as_path(value: Any, argument: str) -> Path:
    """A path; :class:`UserError` with the argument's name for what is none."""
    try:
        return Path(value)
    except TypeError:
        raise UserError(f"{argument}: pass a path, not {_shown(value)}") from None


def as_number(value: Any, argument: str, least: int) -> int:
    """A whole number; :class:`UserError` with the argument's name for what is none, or less."""
    if not isinstance(value, SupportsIndex) or index(value) < least:
        raise UserError(f"{argument}: pass a whole number, {least} or more, not {_shown(value)}")
    return index(value)


def _shown(value: Any) -> str:
    return f"{value!r:.60} ({type(value).__name__})"


def first_of(names: Iterable[str], most: int) -> str:
    """Return the first names, with commas between them, and dots if there are more.

    >>> first_of(["a", "b", "c"], 2)
    'a, b, …'
    """
    every = list(names)
    return ", ".join([*every[:most], *["…"] * (len(every) > most)])


def nearest(value: Any, choices: Iterable[str]) -> str:
    """Return a suggestion to append to an error message: a choice that is alike, if there is one,
    then what is valid.

    >>> nearest("tcp", ["ner", "tc"])
    "did you mean 'tc'? valid: ner, tc"
    >>> nearest("speech", ["ner", "tc"])
    'valid: ner, tc'
    """
    names = sorted(map(str, choices))
    if not names:
        return "there is nothing to choose from"
    value = str(value)
    closest = sorted(names, key=lambda name: _likeness(value, name), reverse=True)
    hint = f"did you mean {closest[0]!r}? " if alike(value, closest[0]) else ""
    if len(names) > LISTED:
        names = [*closest[:CLOSEST], f"… ({len(names)} in all)"]
    return f"{hint}valid: {', '.join(names)}"


def closest(value: str, choices: Iterable[str]) -> str:
    """Return the choice that is most like ``value``; an empty string if none is alike.

    >>> closest("persn", ["place", "person"])
    'person'
    >>> closest("animal", ["place", "person"])
    ''
    """
    best = max(choices, key=lambda choice: _likeness(value, choice), default="")
    return best if alike(value, best) else ""


def nearest_path(path: Path, candidates: Iterable[Path]) -> str:
    """Return ``; did you mean PATH?`` to append to an error message about a path that is missing.

    PATH is the candidate whose name, with or without its ending, is most like that of ``path``.
    If none is alike, the result is empty.

    >>> nearest_path(Path("runs/tlp"), [Path("runs/joint"), Path("runs/demo/tpl")])
    '; did you mean runs/demo/tpl?'
    """

    def likeness(candidate: Path) -> tuple[float, float]:
        names = max(_likeness(path.name, name) for name in (candidate.name, candidate.stem))
        return names, _likeness(str(path), str(candidate))

    best = max(candidates, key=likeness, default=None)
    return "" if best is None or likeness(best)[0] < ALIKE else f"; did you mean {best}?"


def missing(path: Path) -> NoReturn:
    """Raise UserError for a missing file or folder, with the name nearest to what is missing."""
    if _ADDRESS.match(str(path)):  # a Path has one slash of two
        raise UserError(f"{path} is an address, which only recipes of stage 1 read: fetch the file")
    absent = path
    while not absent.parent.exists():
        absent = absent.parent
    names = [entry.name for entry in absent.parent.iterdir()] if absent.parent.is_dir() else []
    close = get_close_matches(absent.name, sorted(names), n=1)
    close = [name for name in close if alike(absent.stem, Path(name).stem)]  # not by ".txt" alone
    shown = close if absent == path else [str(absent.with_name(name)) for name in close]
    hint = f"; did you mean {shown[0]!r}?" if shown else ""
    raise UserError(f"no such file: {path}{hint}")


def alike(one: str, other: str) -> bool:
    """Whether one name may have been meant by the other."""
    return _likeness(one, other) >= ALIKE


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()
