"""Pairs of texts in columns: a query, a positive text, and negative ones where there are any."""

from onetrunk.data.formats.columns import refuse_choice
from onetrunk.data.formats.naming import POSITIVE, QUERY, likely
from onetrunk.data.formats.table import Rows, Stream, Table, show, string, string_list
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair
from onetrunk.errors import UserError

_VERDICTS = ("label", "gold_label", "is_duplicate", "entailment_judgment")
"""Columns that say whether two texts belong together."""
_NO = ("0", "0.0", "false", "no", "neutral", "contradiction", "not_equivalent", "not_duplicate")


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
    verdicts = [name for name in stream.names if name.strip().lower() in _VERDICTS]
    if (one, other) == ("query", "positive"):  # a label is then a class of both
        verdicts = []

    def pair(table: Table, row: int) -> Pair:
        for name in verdicts:
            value = table.columns[name][row]
            if str(value).strip().lower() in _NO:
                why = "which may say that the texts are no pair: keep the rows that are pairs"
                raise UserError(f"{table.at(row)}: {name!r} is {show(value)}, {why}")
        query, positive = string(table, one, row), string(table, other, row)
        return Pair(query, positive, _negatives(table, row))

    return stream.tables(one, other, optional=("negative", "negatives", *verdicts)), pair


def _negatives(table: Table, row: int) -> tuple[str, ...]:
    negative, negatives = table.columns["negative"][row], table.columns["negatives"][row]
    if negative is not None and negatives is not None:
        raise UserError(f"{table.at(row)} has both 'negative' and 'negatives'; keep one of them")
    if isinstance(negative, str):
        return (negative,)
    if negative is None and negatives is None:
        return ()
    return tuple(string_list(table, "negative" if negatives is None else "negatives", row))
