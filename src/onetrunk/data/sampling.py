"""Drawing the rows to learn from: nested fractions and k shots, by a seed, as row ids.

All that counts of a row are its labels: one for classification, any number for multi-label data,
and for NER the type of each mention. Row ids count from zero.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.storage import read_json, write_json

RowLabels = Sequence[Collection[str]]
"""The labels of each row."""

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
"""The fractions that are drawn by default."""

CANDIDATES = 10
"""How many rows of a stratum are compared by their other labels when one is drawn."""


def nested_subsets(
    rows_labels: RowLabels, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> dict[float, list[int]]:
    """Draw a stratified subset for each fraction; each lies within the next larger one; ids ascend.

    A subset has its fraction of the rows, rounded half up, but at least one row. The rows of a
    stratum have the same rarest label. Every subset has its share of each stratum to within one
    row, and small strata without a row come before others get more than their share. Which rows
    of a stratum are drawn is chosen to keep the shares of their other labels.

    This is a simpler form of iterative stratification (Sechidis et al. 2011).

    Raises :class:`UserError` if there are no rows or a fraction is not above 0 and at most 1.
    """
    _check_rows(rows_labels)
    for fraction in fractions:
        if not 0 < fraction <= 1:
            meant = f"; did you mean {fraction / 100:g}?" if 1 < fraction <= 100 else ""
            raise UserError(f"fraction {fraction:g} is not above 0 and at most 1{meant}")
    total = len(rows_labels)
    # Decimal reads a float as it is written: 0.29 of 50 rows is 14.5, not 14.499999999999998.
    sizes = {
        fraction: max(1, int((Decimal(str(fraction)) * total).quantize(Decimal(1), ROUND_HALF_UP)))
        for fraction in sorted(set(fractions))
    }
    labels_of_row = [set(labels) for labels in rows_labels]
    frequency = Counter(label for labels in labels_of_row for label in labels)
    rng = np.random.default_rng(seed)
    strata = _strata(labels_of_row, frequency, rng)
    turns = _turns([len(rows) for rows in strata], [*sizes.values(), total], rng)
    drawn: Counter[str] = Counter()
    order: list[int] = []

    def excess(row: int) -> int:
        """How far its labels are beyond their share of the rows drawn so far, times ``total``."""
        labels = labels_of_row[row]
        return sum(drawn[label] * total - frequency[label] * len(order) for label in labels)

    for stratum in turns:
        rows = strata[stratum]
        candidates = range(max(0, len(rows) - CANDIDATES), len(rows))
        row = rows.pop(min(candidates, key=lambda at: excess(rows[at])))
        order.append(row)
        drawn.update(labels_of_row[row])
    return {fraction: sorted(order[:size]) for fraction, size in sizes.items()}


def _strata(
    labels_of_row: Sequence[Collection[str]], frequency: Counter[str], rng: np.random.Generator
) -> list[list[int]]:
    """Group rows by their rarest label and shuffle each group; the smallest group comes first."""
    # Equally rare labels come in random order. Sorting before makes it independent of hashes.
    names = sorted(frequency)
    names = [names[i] for i in rng.permutation(len(names))]
    rank = {name: at for at, name in enumerate(sorted(names, key=frequency.__getitem__))}
    strata: dict[int, list[int]] = {}
    for row in rng.permutation(len(labels_of_row)).tolist():
        rarest = min((rank[label] for label in labels_of_row[row]), default=len(rank))
        strata.setdefault(rarest, []).append(row)
    return [rows for _, rows in sorted(strata.items(), key=lambda item: (len(item[1]), item[0]))]


def _turns(strata: Sequence[int], sizes: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Return the stratum of each row to draw, for strata and nested subsets of these sizes.

    A step goes from one subset to the next. In every subset a stratum has its share, rounded up or
    down. So its row j may be drawn from the step where its share rounded up exceeds j to the step
    where its share rounded down does. Steps are filled from the last to the first, each with the
    rows that may not come much earlier: this leaves the first steps to the first rows of small
    strata.
    """
    total, ends = sum(strata), np.array(sizes)
    windows: list[tuple[int, int, int]] = []  # last step, first step and stratum of each row
    for stratum, size in enumerate(strata):
        first = np.searchsorted(-(-ends * size // total), np.arange(size), side="right")
        last = np.searchsorted(ends * size // total, np.arange(size), side="right")
        windows += zip(last.tolist(), first.tolist(), [stratum] * size, strict=True)
    windows.sort()
    candidates: list[tuple[int, int]] = []
    turns: list[int] = []
    for step in reversed(range(len(sizes))):
        while windows and windows[-1][0] >= step:
            candidates.append(windows.pop()[1:])
        candidates.sort()
        left = len(candidates) - sizes[step] + (sizes[step - 1] if step else 0)
        turns += rng.permutation([stratum for _, stratum in candidates[left:]]).tolist()
        del candidates[left:]
    return turns[::-1]


def k_shot(rows_labels: RowLabels, k: int, seed: int = 0, notes: Notes | None = None) -> list[int]:
    """Draw rows until every label occurs at least ``k`` times; ids ascend.

    With one label a row these are exactly ``k`` rows for each label. A label that occurs less often
    gives all its rows, and ``notes`` counts it. Where rows have several labels (for NER: one for
    each mention), this is the greedy k~2k-shot sampling of Few-NERD (Ding et al. 2021), rarest
    label first: a row that takes a label beyond 2k is drawn only if ``k`` needs it.

    Raises :class:`UserError` if there are no rows or ``k`` is below 1.
    """
    _check_rows(rows_labels)
    if k < 1:
        raise UserError(f"shots {k}: must be at least 1")
    rng = np.random.default_rng(seed)
    rows_with: dict[str, list[int]] = {}
    for row in rng.permutation(len(rows_labels)).tolist():
        for label in dict.fromkeys(rows_labels[row]):
            rows_with.setdefault(label, []).append(row)
    frequency = Counter(label for labels in rows_labels for label in labels)
    drawn: set[int] = set()
    count: Counter[str] = Counter()

    def surplus(row: int) -> int:
        """How many occurrences beyond 2k the row would add."""
        return sum(
            max(0, min(more, count[label] + more - 2 * k))
            for label, more in Counter(rows_labels[row]).items()
        )

    def draw(rows: Iterable[int], label: str) -> None:
        for row in rows:
            if count[label] >= k:
                return
            drawn.add(row)
            count.update(rows_labels[row])

    for label in sorted(frequency, key=lambda label: (frequency[label], label)):
        draw((row for row in rows_with[label] if row not in drawn and not surplus(row)), label)
        if count[label] < k:
            draw(sorted((row for row in rows_with[label] if row not in drawn), key=surplus), label)
        if count[label] < k and notes is not None:
            where = f"{label!r} ({count[label]})"
            notes.add(f"labels that occur fewer than {k} times, all of them drawn", where)
    return sorted(drawn)


def _check_rows(rows_labels: RowLabels) -> None:
    if not rows_labels:
        raise UserError("there are no rows to sample from")
    for row, labels in enumerate(rows_labels):
        if isinstance(labels, str):
            raise UserError(f"row {row + 1}: {labels!r} is a string, not a collection of labels")


def save_subset(
    path: Path, ids: Sequence[int], what: Mapping[str, Any], source_sha256: str
) -> None:
    """Write row ids as JSON, with how they were drawn (``what``) and the hash of their source."""
    write_json(path, {"what": dict(what), "source_sha256": source_sha256, "ids": list(ids)})


def load_subset(path: Path, source_sha256: str) -> list[int]:
    """Read the row ids of a subset that was drawn from the source with this hash.

    Raises :class:`UserError` if it was drawn from another source, or if it is missing or damaged.
    """
    subset = read_json(path, "a folder with this subset")
    ids, subset_source = subset.get("ids"), subset.get("source_sha256")
    if not isinstance(ids, list) or not isinstance(subset_source, str):
        raise UserError(f"{path} is not a subset: it needs 'ids' and 'source_sha256'")
    for position, row in enumerate(ids, 1):
        if type(row) is not int or row < 0:
            raise UserError(f"{path}: id {position} is {row!r}, not a row number")
    if len(set(ids)) < len(ids):
        raise UserError(f"{path} is damaged: a row id occurs twice")
    if subset_source != source_sha256:
        raise UserError(
            f"{path} was drawn from a file with SHA-256 {subset_source[:12]}…, this one has "
            f"{source_sha256[:12]}…: its row ids do not belong here"
        )
    return ids
