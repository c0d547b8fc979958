"""From scikit-learn's ``X`` and ``y`` to a family's examples, and from predictions to ``y``."""

from collections.abc import Collection, Mapping, Sequence, Set
from itertools import pairwise
from operator import index, itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from onetrunk.data.findings import MISSING
from onetrunk.data.iob import tags_of_words
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, Entity, LabelledText, numbered
from onetrunk.data.schemes import Converter
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.interface import listed

WORD_FAMILIES = ("ner", "nested-ner")


class InvalidInput(UserError, ValueError):
    """Wrong ``X`` or ``y``: a UserError as elsewhere, and a ValueError as scikit-learn expects."""


def items_of(X: Any) -> list[Any]:
    """The items of X: texts, or lists of words. One string is one text."""
    if isinstance(X, str):
        return [X]
    if hasattr(X, "columns") or isinstance(X, bytes | dict | set | frozenset) or not _iterable(X):
        listed(X, "X")  # raises, and says what to pass
    return _sequence(X)


def answers_of(
    family: Family[Any, Any], y: Any, where: str, known: Sequence[Any] | None = None
) -> tuple[list[Any], list[Any] | None]:
    """``y`` as a list of answers, and the columns' names if it is an indicator matrix.

    A matrix ``(N, C)`` of 0 and 1, sparse or not, gives lists of labels, for ``multi-label``. If
    its columns have no names, they are the ``known`` ones, in this order.
    """
    if hasattr(y, "toarray"):  # sparse, as MultiLabelBinarizer(sparse_output=True) makes it
        y = y.toarray()
    if y is None:
        raise InvalidInput(f"{where}: requires y to be passed, but the target y is None")
    if isinstance(y, str | bytes | Mapping | set | frozenset):
        raise InvalidInput(f"{where}: {type(y).__name__} is no list of answers in the order of X")
    if family.name == "multi-label" and getattr(y, "ndim", 1) == 1:
        y = _sequence(y)
        if _is_indicator(y):
            y = np.array([list(row) for row in y])
    if family.name != "multi-label" or getattr(y, "ndim", 1) != 2:
        if family.name not in WORD_FAMILIES and getattr(y, "ndim", 1) == 2:
            y = column_or_1d(y, warn=True)
        return _sequence(y), None
    matrix = np.asarray(y)
    if known is not None and not hasattr(y, "columns") and len(known) != matrix.shape[1]:
        raise InvalidInput(f"{where}: {matrix.shape[1]} columns, where y of fit had {len(known)}")
    columns = list(getattr(y, "columns", range(matrix.shape[1]) if known is None else known))
    if not np.isin(matrix, (0, 1)).all():
        raise InvalidInput(f"{where}: an indicator matrix holds 0 and 1 alone")
    return [[columns[at] for at in np.flatnonzero(row)] for row in matrix], columns


def unlabelled_rows(family: Family[Any, Any], X: Any) -> list[Any]:
    """Examples without labels."""
    rows = []
    for number, item in enumerate(items_of(X), start=1):
        if family.name == "ner" and not isinstance(item, str) and _iterable(item):
            rows.append(AnnotatedText(" ".join(_words(item, number))))
        else:
            rows.append(family.parse(_text(item, number)))
    return rows


def labelled_rows(
    family: Family[Any, Any],
    X: Any,
    answers: list[Any],
    where: str,
    names: Mapping[Any, str] = MappingProxyType({}),
) -> list[Any]:
    """Examples with their labels. Raises :class:`InvalidInput` for a row that cannot be one.

    ``names`` are those of labels that are known. Labels that are equal for Python, as 1, 1.0 and
    True are, have one name.
    """
    items = items_of(X)
    if len(items) != len(answers):
        raise InvalidInput(f"{where}: {len(answers)} answers for {len(items)} texts")
    name_of = dict(names)
    if family.name in ("tc", "multi-label"):
        _check_kinds(answers, where)
    rows: list[Any] = []
    notes = Notes()
    for number, (item, answer) in enumerate(zip(items, answers, strict=True), start=1):
        if _is_missing(answer):
            raise InvalidInput(
                f"{where}, row {number}: {answer!r} is no answer (NaN, infinity or nothing); leave "
                "such rows out of X and y"
            )
        for name, value in ((where, answer), ("X", item)):
            if isinstance(value, str) and value in MISSING:
                what = "texts or labels that other programs write for a missing value, read as such"
                notes.add(what, f"{name}, row {number}: {str(value)!r}")
        if family.name in WORD_FAMILIES:
            rows.append(_with_entities(family, item, answer, number, where))
        else:
            rows.append(_with_labels(family, item, answer, number, where, name_of))
    try:
        family.check_rows(rows, numbered(where))
    except UserError as error:
        raise InvalidInput(str(error)) from None
    notes.log()
    return rows


def _check_kinds(answers: list[Any], where: str) -> None:
    """Refuse strings beside numbers: the label '1' would be that of 1, too."""
    first: dict[bool, int] = {}
    for number, answer in enumerate(answers, start=1):
        for label in answer if isinstance(answer, list | tuple | set) else [answer]:
            if not _is_missing(label):
                first.setdefault(isinstance(label, str), number)
    if len(first) == 2:
        raise InvalidInput(
            f"{where} holds strings (row {first[True]}) and other values (row {first[False]}): "
            "write all labels as strings"
        )


def answer_of(family: Family[Any, Any], item: Any, prediction: Any) -> Any:
    """A prediction in the form that ``y`` has for this item of X; labels are strings."""
    if family.name == "ner" and not isinstance(item, str):
        return tags_of_words(item, prediction.entities)
    if family.name in WORD_FAMILIES:
        return prediction.entities
    if family.name == "rating":
        return prediction
    return list(prediction.labels)


def _with_labels(
    family: Family[Any, Any],
    item: Any,
    answer: Any,
    number: int,
    where: str,
    name_of: dict[Any, str],
) -> LabelledText:
    labels = answer if family.name == "multi-label" else [answer]
    if isinstance(labels, str | Mapping) or not _iterable(labels):
        raise InvalidInput(f"{where}, row {number}: {labels!r} is one label; pass a list of labels")
    for label in labels:
        if _is_missing(label) or _iterable(label) or not str(label).strip():
            raise InvalidInput(
                f"{where}, row {number}: {label!r} is no label; pass strings or numbers"
            )
    names = tuple(name_of.setdefault(label, str(label)) for label in labels)
    if len({*names}) < len(names):
        raise InvalidInput(f"{where}, row {number}: {answer!r:.60} has a label twice")
    if family.name == "tc" and isinstance(answer, float) and answer != int(answer):
        raise InvalidInput(
            f"{where}, row {number}: Unknown label type: continuous ({answer}); a number for a "
            "text is what family='rating' learns"
        )
    return LabelledText(_text(item, number), names)


def _with_entities(
    family: Family[Any, Any], item: Any, answer: Any, number: int, where: str
) -> AnnotatedText:
    where = f"{where}, row {number}"
    if not isinstance(answer, Collection) or isinstance(answer, str | Mapping):
        raise InvalidInput(f"{where}: {answer!r:.60} is no list of spans or tags")
    if isinstance(item, str):
        spans = [_span(value, item, where) for value in answer]
        layer = itemgetter(2) if family.name == "nested-ner" else lambda _: ""
        for one, other in pairwise(sorted(spans, key=lambda span: (layer(span), span))):
            if layer(one) == layer(other) and one[1] > other[0]:
                raise InvalidInput(f"{where}: {one} and {other} overlap; keep one of them")
        return AnnotatedText(item, tuple(sorted(spans)))
    words = _words(item, number)
    if family.name != "ner":
        raise InvalidInput(f"X, row {number}: family {family.name!r} takes texts, not words")
    if len(answer) != len(words):
        raise InvalidInput(
            f"{where}: {len(answer)} tags for the {len(words)} words {' '.join(words)[:60]!r}"
        )
    for tag in answer:
        if not isinstance(tag, str):
            raise InvalidInput(f"{where}: tag {tag!r:.60} is no string")
    try:
        tags = Converter("iob2").convert([str(tag) for tag in answer], lambda _: where)
    except UserError as error:
        raise InvalidInput(str(error)) from None
    return AnnotatedText.from_words(words, tags)


def _span(value: Any, text: str, where: str) -> Entity:
    try:
        start, end, name = value
        start, end = index(start), index(end)
    except (TypeError, ValueError):
        start, end, name = 0, 0, None
    if not (isinstance(name, str) and name and 0 <= start < end <= len(text)):
        raise InvalidInput(f"{where}: {value!r:.60} is no (start, end, type) of the text")
    return start, end, str(name)


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, infinite or one of pandas' marks of nothing."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return True
    return type(value).__name__ in ("NAType", "NaTType")  # pandas need not be installed


def _is_indicator(y: Any) -> bool:
    """Whether ``y`` holds the rows of an indicator matrix, one by one: as lists of labels, each
    would have the labels 0 and 1, or one of them twice."""
    rows = [row for row in y if _iterable(row) and not isinstance(row, str | Mapping | Set)]
    widths = {len(row) for row in rows}
    cells = [cell for row in rows for cell in row]
    return (
        len(rows) == len(y)
        and len(widths) == 1
        and min(widths) > 1
        and all(isinstance(cell, int | float | np.number | np.bool_) for cell in cells)
        and all(cell in (0, 1) for cell in cells)
    )


def _text(item: Any, number: int) -> str:
    if not isinstance(item, str):
        raise InvalidInput(f"X, row {number}: {item!r:.60} ({type(item).__name__}) is no text")
    return item


def _words(item: Any, number: int) -> list[str]:
    try:
        return listed(item, f"X, row {number}")
    except UserError as error:
        raise InvalidInput(str(error)) from None


def _sequence(values: Any) -> list[Any]:
    return list(values) if hasattr(values, "__iter__") else list(np.asarray(values))


def _iterable(values: Any) -> bool:
    return not np.isscalar(values) and (hasattr(values, "__iter__") or hasattr(values, "__array__"))
