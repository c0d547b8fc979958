"""Cells that CSV is known to break, read back by others; columns of one name."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.bulk.columns import Decoders, answer_names, answer_types, check_free
from onetrunk.bulk.writers import Csv
from onetrunk.data.notes import Notes
from onetrunk.data.sources import open_texts
from onetrunk.data.texts import TextBlock
from onetrunk.errors import UserError

ODD = ["\r", "\n", "\r\n", '"', "'", ",", ";", "\t", " ", "\0", "\u2028", "\x85", "\x0b", "a"]
CELLS = st.lists(st.sampled_from(ODD), max_size=5).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=5
)


def written(rows: list[dict[str, str]]) -> str:
    """The file of some rows with the columns ``text`` and ``more``, without an app."""
    with TemporaryDirectory() as folder:
        given, out = Path(folder, "a.csv"), Path(folder, "out.csv")
        given.write_text("text,more\na,b\n")
        writer = Csv(out, open_texts(given, Notes()), {}, Notes())
        texts = [row["text"] for row in rows]
        writer.write(TextBlock([*texts], [*rows]), [{"text": text} for text in texts])
        writer.close()
        return out.read_bytes().decode()


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"text": CELLS, "more": CELLS}), min_size=1, max_size=4))
def test_csv_reads_back_equal(rows: list[dict[str, str]]) -> None:
    pandas = pytest.importorskip("pandas")
    content = written(rows)
    wanted = [{**row, "error": ""} for row in rows]
    assert [*csv.DictReader(io.StringIO(content, newline=""))] == wanted
    table = pandas.read_csv(io.StringIO(content), dtype=str, keep_default_na=False)
    assert table.to_dict("records") == wanted


def test_csv_reads_back_as_our_own_input(tmp_path: Path) -> None:
    texts = ["play\rcall ann", "a\r\nb", "a\nb", " a ", 'say "hi"', "a,b", ""]
    (tmp_path / "a.csv").write_bytes(written([{"text": t, "more": "x"} for t in texts]).encode())
    (source,) = open_texts(tmp_path / "a.csv", Notes())
    assert [text for block in source.blocks() for text in block.texts] == texts


def test_records_end_in_line_feeds() -> None:
    assert written([{"text": "a", "more": "b\r\n"}]) == 'text,more,error\na,"b\r\n",\n'


@pytest.mark.parametrize(
    ("decoders", "parts"),
    [
        ({"error": "tc"}, ["the app 'error'", "'error', which has another use"]),
        ({"text": "ner"}, ["the app 'text'", "'text', which has another use"]),
        (
            {"a": "tc", "a.probability": "rating"},
            ["the app 'a'", "'a.probability'", "as the app 'a.probability' does"],
        ),
        ({"a.probability": None, "a": "multi-label"}, ["the app 'a.probability'", "the app 'a'"]),
    ],
)
def test_apps_of_one_column_are_refused(decoders: Decoders, parts: list[str]) -> None:
    for names in (answer_names, answer_types):
        with pytest.raises(UserError) as refused:
            names(decoders)
        for part in [*parts, "rename the app"]:
            assert part in str(refused.value)


def test_apps_of_different_columns() -> None:
    decoders = {"a": "ner", "a.probability": "tc", "b": "multi-label", "c.probability": None}
    names = answer_names(decoders)
    assert len({*names}) == len(names) == 7
    assert list(answer_types(decoders)) == names


def test_a_column_of_the_input_names_the_app() -> None:
    decoders: Decoders = {"a": "tc"}
    with pytest.raises(UserError, match=r"'a.probability' of the input .* or the app 'a'"):
        check_free(["x", "a.probability"], answer_names(decoders), "here", decoders)
