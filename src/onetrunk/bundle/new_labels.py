"""Labels that an app gains as it is taught: what is said of them, and what is refused.

A head that goes on from an app forgets the app's own labels if all it is taught has a new one: to
answer that one always is then right. Rows of other labels keep it from that, and so do texts whose
answers stay. (As many as there are rows of new labels were enough for the app of
``examples/first_steps/requests.csv``.)
"""

import logging
from collections.abc import Sequence
from typing import Any

from onetrunk.bundle.app import BundledApp
from onetrunk.errors import UserError, closest, first_of
from onetrunk.families.base import Family

logger = logging.getLogger("onetrunk")

NAMED = 5
"""A message names so many labels."""
_ADD = "texts whose answers shall stay, as stay (--stay FILE)"


def note_new_labels(family: Family[Any, Any], labels: Sequence[str], before: Sequence[str]) -> None:
    """Log each label that an app gains: it may be a misspelt one of those that it has. Of a rating
    it is a new end of the scale."""
    for label in labels:
        if label in before:
            continue
        if _is_scale(family, before):
            logger.warning("new end of the scale: %s", label)
        else:
            logger.warning("new label: %s%s", label, _hint(label, before))


def check_beside_new(
    family: Family[Any, Any], app: BundledApp, rows: Sequence[Any], staying: Sequence[Any]
) -> None:
    """Look at what keeps an app from forgetting its labels, if ``rows`` bring it new ones:
    rows of its own labels or of none, and ``staying`` rows with its own answers.

    Raises :class:`UserError` if there is nothing; logs a note if there is little.
    """
    if _is_scale(family, app.labels):  # its ends stay
        return
    known = set(app.labels)
    labels_of_rows = [[*family.labels_of(row)] for row in [*rows, *staying]]
    beside = [labels for labels in labels_of_rows if not labels or known & {*labels}]
    new = [labels for labels in labels_of_rows if labels and not known & {*labels}]
    if not new:
        return
    names = sorted({label for labels in new for label in labels})
    named = first_of(names, NAMED)
    if not beside:
        raise UserError(
            f"all rows have new labels alone ({named}{_hint(names[0], app.labels)}): app "
            f"{app.name} would forget its own ({first_of(app.labels, NAMED)}). Add as many rows of "
            f"those, or pass {_ADD}"
        )
    missing = sorted(known - {label for labels in beside for label in labels})
    if len(beside) < len(new) or len(missing) > len(known) / 2:
        gone = f", and none has {first_of(missing, NAMED)}" if missing else ""
        logger.warning(
            f"{len(new)} of {len(new) + len(beside)} rows have new labels ({named}){gone}: app "
            f"{app.name} may forget its own labels; add rows of those, or pass more {_ADD}"
        )


def _is_scale(family: Family[Any, Any], labels: Sequence[str]) -> bool:
    return family.classes(labels) < len(labels)


def _hint(label: str, before: Sequence[str]) -> str:
    old = closest(label, before)
    return f"; did you mean {old}?" if old else ""
