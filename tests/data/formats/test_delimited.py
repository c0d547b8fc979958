import csv
import random
from pathlib import Path

import pytest

from onetrunk.data.sources import read_classification
from onetrunk.errors import UserError


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quotes_that_hold_other_rows(tmp_path: Path, suffix: str) -> None:
    file, cut = tmp_path / f"a{suffix}", "," if suffix == ".csv" else "\t"
    rows = [
        ("fine", "good"),
        ('"So it was', "good"),
        ("No", "bad"),
        ('Then."', "none"),
        ("b", "bad"),
    ]
    for order in (1, -1):
        lines = [cut.join(row[::order]) for row in [("text", "label"), *rows]]
        file.write_text("\n".join(lines))
        with pytest.raises(UserError, match=r":3: a field in quotes runs on to line 5 over other"):
            read_classification(file)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_texts_of_several_lines(tmp_path: Path, suffix: str) -> None:
    rng = random.Random(5)
    texts = [
        "".join(rng.choices(["a", "Dear Ada", "\n", '"', ",", " ", "\r\n"], k=rng.randint(1, 12)))
        for _ in range(500)
    ]
    file = tmp_path / f"a{suffix}"
    with file.open("w", newline="") as out:
        writer = csv.writer(out, delimiter="," if suffix == ".csv" else "\t")
        writer.writerow(["text", "label"])
        writer.writerows((text, rng.choice(["good", "bad"])) for text in texts)
    assert [row.text for row in read_classification(file)] == texts


def test_a_text_that_begins_with_a_quote(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text('text\tlabel\n"wow" she said\tx\n')
    with pytest.raises(UserError, match=r':2: .*in quotes and double those inside: """Wow""'):
        read_classification(file)
    file.write_text('text\tlabel\n"""wow"" she said"\tx\nsize 24"\ty\n')
    assert [row.text for row in read_classification(file)] == ['"wow" she said', 'size 24"']


def test_files_that_were_joined_with_their_headers(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,label\nhi,good\ntext,label\nbye,bad\n")
    with pytest.raises(UserError, match=r":3: the header again; the file was joined from several"):
        read_classification(file)
