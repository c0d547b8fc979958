"""From scikit-learn's ``X`` and ``y`` to a family's examples, and from predictions to ``y``."""

from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from onetrunk.data.iob import tags_of_words
from onetrunk.data.rows import AnnotatedText, LabelledText
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


def answers_of(family: Family[Any, Any], y: Any, where: str) -> tuple[list[Any], list[Any] | None]:
    """``y`` as a list of answers, and the columns' names if it is an indicator matrix.

    A matrix ``(N, C)`` of 0 and 1, sparse or not, gives lists of labels, for ``multi-label``.
    """
    if hasattr(y, "toarray"):  # sparse, as MultiLabelBinarizer(sparse_output=True) makes it
        y = y.toarray()
    if y is None:
        raise InvalidInput(f"{where}: requires y to be passed, but the target y is None")
    if family.name != "multi-label" or getattr(y, "ndim", 1) != 2:
        if family.name not in WORD_FAMILIES and getattr(y, "ndim", 1) == 2:
            y = column_or_1d(y, warn=True)
        return _sequence(y), None
    columns, matrix = list(getattr(y, "columns", range(y.shape[1]))), np.asarray(y)
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


def labelled_rows(family: Family[Any, Any], X: Any, answers: list[Any], where: str) -> list[Any]:
    """Examples with their labels. Raises :class:`InvalidInput` for a row that cannot be one."""
    items = items_of(X)
    if len(items) != len(answers):
        raise InvalidInput(f"{where}: {len(answers)} answers for {len(items)} texts")
    make = _with_entities if family.name in WORD_FAMILIES else _with_labels
    rows = []
    for number, (item, answer) in enumerate(zip(items, answers, strict=True), start=1):
        if answer is None or (isinstance(answer, float) and not np.isfinite(answer)):
            raise InvalidInput(
                f"{where}, row {number}: {answer!r} is no answer (NaN, infinity or nothing); leave "
                "such rows out of X and y"
            )
        rows.append(make(family, item, answer, number))
    try:
        family.check_rows(rows, where)
    except UserError as error:
        raise InvalidInput(str(error)) from None
    return rows


def answer_of(family: Family[Any, Any], item: Any, row: Any, prediction: Any) -> Any:
    """A prediction in the form that ``y`` has for this item of X; labels are strings."""
    if family.name == "ner" and not isinstance(item, str):
        return tags_of_words(item, prediction.entities)
    if family.name in WORD_FAMILIES:
        return prediction.entities
    if family.name == "rating":
        return prediction
    return list(prediction.labels)


def _with_labels(family: Family[Any, Any], item: Any, answer: Any, number: int) -> LabelledText:
    labels = answer if family.name == "multi-label" else [answer]
    if isinstance(labels, str) or not _iterable(labels):
        raise InvalidInput(f"y, row {number}: {labels!r} is one label; pass a list of labels")
    if family.name == "tc" and isinstance(answer, float) and answer != int(answer):
        raise InvalidInput(
            f"y, row {number}: Unknown label type: continuous ({answer}); a number for a text is "
            "what family='rating' learns"
        )
    return LabelledText(_text(item, number), tuple(str(label) for label in labels))


def _with_entities(family: Family[Any, Any], item: Any, answer: Any, number: int) -> AnnotatedText:
    if isinstance(item, str):
        for span in answer:
            if len(span) != 3 or not 0 <= span[0] < span[1] <= len(item):
                raise InvalidInput(
                    f"y, row {number}: {span!r} is no (start, end, type) of the text"
                )
        spans = sorted((int(start), int(end), str(name)) for start, end, name in answer)
        return AnnotatedText(item, tuple(spans))
    words = _words(item, number)
    if family.name != "ner":
        raise InvalidInput(f"X, row {number}: family {family.name!r} takes texts, not words")
    if len(answer) != len(words):
        raise InvalidInput(
            f"{len(answer)} tags for the {len(words)} words {' '.join(words)[:60]!r}"
        )
    for tag in answer:
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise InvalidInput(f"tag {tag!r} is not IOB2: O, B-TYPE or I-TYPE")
    return AnnotatedText.from_words(words, answer)


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
    return hasattr(values, "__iter__") or hasattr(values, "__array__")
