"""Pairs of texts in columns: a query, a positive text, and negative ones where there are any."""

from onetrunk.data.formats.columns import refuse_choice
from onetrunk.data.formats.naming import POSITIVE, QUERY, likely, plain_name
from onetrunk.data.formats.table import Rows, Stream, Table, is_empty, show, string, string_list
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair
from onetrunk.errors import UserError

_VERDICTS = (
    "label", "gold label", "entailment judgment", "relation", "judgment", "is duplicate",
    "duplicate", "is similar", "is paraphrase", "paraphrase", "is match", "match",
)  # fmt: skip
"""Columns that say whether two texts belong together."""
_NO = (
    "0", "0.0", "-1", "-1.0", "false", "no", "neutral", "contradiction", "not equivalent",
    "not duplicate", "not similar", "unrelated", "different", "negative", "none",
)  # fmt: skip
_SCORES = ("score", "scores", "similarity", "similarity score", "relatedness", "relatedness score")
"""Columns that say how much they do."""


def pairs(stream: Stream, notes: Notes) -> Rows[Pair]:
    """Read queries with a positive text, and negative ones where there are any.

    Where the columns are not called so, two of the names that sets of pairs usually have are taken.
    A row of these that says that its texts do not belong together is an error.
    """
    refuse_choice(stream, ("query", "positive"))
    noted = Notes()
    one = likely(stream, QUERY, noted, exactly=True)
    other = likely(stream, POSITIVE, noted, taken=[one or ""], exactly=True)
    if one is None or other is None:
        one, other = "query", "positive"  # one of which is missing
    else:
        notes.update(noted)
    verdicts = [name for name in stream.names if plain_name(name) in _VERDICTS]
    for name in stream.names:
        if plain_name(name) in _SCORES:
            what = "columns of scores beside pairs, not read: every row is taken for a pair"
            notes.add(what, f"{stream.source}: {name!r}")
    if (one, other) == ("query", "positive"):  # a label is then a class of both
        verdicts = []

    def pair(table: Table, row: int) -> Pair:
        for name in verdicts:
            value = table.columns[name][row]
            if str(value).strip().lower().replace("_", " ") in _NO:
                why = "which may say that the texts are no pair: keep the rows that are pairs"
                raise UserError(f"{table.at(row)}: {name!r} is {show(value)}, {why}")
        query, positive = string(table, one, row), string(table, other, row)
        return Pair(query, positive, _negatives(table, row))

    return stream.tables(one, other, optional=("negative", "negatives", *verdicts)), pair


def _negatives(table: Table, row: int) -> tuple[str, ...]:
    negative, negatives = table.columns["negative"][row], table.columns["negatives"][row]
    if negative is not None and negatives is not None:
        raise UserError(f"{table.at(row)} has both 'negative' and 'negatives'; keep one of them")
    if isinstance(negative, str) and not is_empty(negative):
        return (negative,)
    if is_empty(negative) and negatives is None:
        return ()
    return tuple(string_list(table, "negative" if negatives is None else "negatives", row))
