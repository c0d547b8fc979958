"""Which rows to learn from: nested fractions and k shots, seeded, stratified, kept as row ids.

A row is known by its collection of labels: one for classification, any number (none included) for
multi-label data, the type of each mention for NER. Row ids count from zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.storage import read_json, write_json

RowLabels = Sequence[Collection[str]]

FRACTIONS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def nested_subsets(
    rows_labels: RowLabels, fractions: Sequence[float] = FRACTIONS, seed: int = 0
) -> dict[float, list[int]]:
    """Draw a subset for each fraction, each within the next larger; ids ascend.

    A subset has its fraction of the rows, rounded half up, but at least one. As in iterative
    stratification (Sechidis et al. 2011), the rarest label is looked after first: a row's stratum
    is the rarest of its labels, and every subset has each stratum's share to within one row. Strata
    too small for a whole row are drawn from before others get more than their share, the smallest
    first. Which rows of a stratum are drawn is chosen to keep the shares of their other labels.

    Raises :class:`UserError` if there are no rows or a fraction is not above 0 and at most 1.
    """
    _check_rows(rows_labels)
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise UserError(f"fraction {fraction} is not above 0 and at most 1")
    total = len(rows_labels)
    # Decimal reads a float as it is written: 0.29 of 50 rows is 14.5, not 14.499999999999998.
    sizes = {
        fraction: max(1, int((Decimal(str(fraction)) * total).quantize(Decimal(1), ROUND_HALF_UP)))
        for fraction in sorted(set(fractions))
    }
    frequency = Counter(label for labels in rows_labels for label in set(labels))
    strata = _strata(rows_labels, frequency, np.random.default_rng(seed))
    taken = _apportion([len(rows) for rows in strata], [*sizes.values(), total])
    steps = _distribute(rows_labels, frequency, strata, taken)
    return {
        fraction: sorted(chain.from_iterable(steps[: at + 1])) for at, fraction in enumerate(sizes)
    }


def _strata(
    rows_labels: RowLabels, frequency: Mapping[str, int], rng: np.random.Generator
) -> list[list[int]]:
    """The rows of each stratum, shuffled; the smallest stratum first."""
    # Sorted, then shuffled: equally rare labels take turns by seed, not by name or hash.
    names = sorted(frequency)
    names = [names[i] for i in rng.permutation(len(names))]
    rank = {name: at for at, name in enumerate(sorted(names, key=frequency.__getitem__))}
    strata: dict[int, list[int]] = {}
    for row in rng.permutation(len(rows_labels)).tolist():
        rarest = min((rank[label] for label in rows_labels[row]), default=len(rank))
        strata.setdefault(rarest, []).append(row)
    return [rows for _, rows in sorted(strata.items(), key=lambda item: (len(item[1]), item[0]))]


def _apportion(strata: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """How many rows of each stratum make up each size; sizes ascend, and so do the counts.

    Every count is the stratum's share rounded down or up. A share rounded up stays so until it
    has grown by itself, so at each size the number of strata rounded up is bounded by what all
    later sizes leave to give away. These bounds are all that matters: a choice that keeps them can
    be completed (the chairman assignment problem, Tijdeman 1980).
    """
    total = sum(strata)
    floors = [[rows * size // total for rows in strata] for size in sizes]
    room = [size - sum(floor) for size, floor in zip(sizes, floors, strict=True)]
    counts = [0] * len(strata)
    taken = []
    for at, size in enumerate(sizes):
        counts = [max(pair) for pair in zip(counts, floors[at], strict=True)]
        lost = [rows * size % total for rows in strata]  # to rounding down, in 1/total rows
        waiting = [i for i, loss in enumerate(lost) if loss and counts[i] == floors[at][i]]
        # First strata without a row, the smallest first; then those that lose most.
        waiting.sort(key=lambda i: (1, -lost[i]) if counts[i] else (0, i))
        for i in waiting:
            ahead = [k for k in range(at, len(sizes)) if floors[k][i] == counts[i]]
            if all(room[k] for k in ahead):
                counts[i] += 1
                for k in ahead:
                    room[k] -= 1
        taken.append(counts)
    return taken


def _distribute(
    rows_labels: RowLabels,
    frequency: Mapping[str, int],
    strata: Sequence[Sequence[int]],
    taken: Sequence[Sequence[int]],
) -> list[list[int]]:
    """The rows that each size adds to the one before: as many of each stratum as ``taken`` says.

    A row goes where its labels have had least, in proportion to their frequency and to the rows
    that are added there.
    """
    added = np.diff(np.array(taken), axis=0, prepend=0)
    widths = added.sum(axis=1).tolist()
    given = {label: [0.0] * len(widths) for label in frequency}
    steps: list[list[int]] = [[] for _ in widths]
    for rows, room in zip(strata, added.T.tolist(), strict=True):
        for row in rows:
            labels = sorted(set(rows_labels[row]))  # sums of floats depend on their order
            step = min(
                (step for step, left in enumerate(room) if left),
                key=lambda step: (sum(given[label][step] for label in labels), -room[step]),
            )
            room[step] -= 1
            steps[step].append(row)
            for label in labels:
                given[label][step] += 1 / (frequency[label] * widths[step])
    return steps


def k_shot(rows_labels: RowLabels, k: int, seed: int = 0, notes: Notes | None = None) -> list[int]:
    """Draw rows until every label occurs at least ``k`` times; ids ascend.

    With one label a row these are exactly ``k`` rows a label. A label with fewer occurrences gives
    all it has, and is counted in ``notes``. Where rows have several labels (for NER: one for each
    mention), it is the greedy k~2k-shot sampling of Few-NERD (Ding et al. 2021), rarest label
    first: a row that takes a label beyond 2k is drawn only if ``k`` cannot be reached without.

    Raises :class:`UserError` if there are no rows or ``k`` is below 1.
    """
    _check_rows(rows_labels)
    if k < 1:
        raise UserError(f"k = {k}: at least 1 is needed")
    rng = np.random.default_rng(seed)
    holding: dict[str, list[int]] = {}
    for row in rng.permutation(len(rows_labels)).tolist():
        for label in dict.fromkeys(rows_labels[row]):
            holding.setdefault(label, []).append(row)
    occurring = Counter(label for labels in rows_labels for label in labels)
    chosen: set[int] = set()
    have: Counter[str] = Counter()

    def beyond(row: int) -> int:
        """Occurrences beyond 2k that the row would add."""
        return sum(
            max(0, min(count, have[label] + count - 2 * k))
            for label, count in Counter(rows_labels[row]).items()
        )

    def draw(rows: Iterable[int], label: str) -> None:
        for row in rows:
            if have[label] >= k:
                return
            chosen.add(row)
            have.update(rows_labels[row])

    for label in sorted(occurring, key=lambda label: (occurring[label], label)):
        draw((row for row in holding[label] if row not in chosen and not beyond(row)), label)
        if have[label] < k:
            draw(sorted((row for row in holding[label] if row not in chosen), key=beyond), label)
        if have[label] < k and notes is not None:
            where = f"{label!r} ({have[label]})"
            notes.add(f"labels that occur fewer than {k} times, all of them drawn", where)
    return sorted(chosen)


def _check_rows(rows_labels: RowLabels) -> None:
    if not rows_labels:
        raise UserError("there are no rows to sample from")
    for row, labels in enumerate(rows_labels):
        if isinstance(labels, str):
            raise UserError(f"row {row + 1}: {labels!r} is a string, not a collection of labels")


def save_subset(
    path: Path, ids: Sequence[int], what: Mapping[str, Any], source_sha256: str
) -> None:
    """Write row ids as JSON: with how they were drawn, and the hash of the file they belong to."""
    write_json(path, {"what": dict(what), "source_sha256": source_sha256, "ids": list(ids)})


def load_subset(path: Path, source_sha256: str) -> list[int]:
    """Read row ids for the file with this hash.

    Raises :class:`UserError` if they belong to another file, or the subset is missing or damaged.
    """
    subset = read_json(path, "a folder with this subset")
    ids, belongs = subset.get("ids"), subset.get("source_sha256")
    if not isinstance(ids, list) or not isinstance(belongs, str):
        raise UserError(f"{path} is not a subset: it needs 'ids' and 'source_sha256'")
    for at, row in enumerate(ids):
        if type(row) is not int or row < 0:
            raise UserError(f"{path}: id {at + 1} is {row!r}, not a row number")
    if len(set(ids)) < len(ids):
        raise UserError(f"{path} is damaged: a row id occurs twice")
    if belongs != source_sha256:
        raise UserError(
            f"{path} was drawn from a file with SHA-256 {belongs[:12]}…, this one has "
            f"{source_sha256[:12]}…: its row ids do not belong here"
        )
    return ids
