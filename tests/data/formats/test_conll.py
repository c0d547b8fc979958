from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_ner, read_texts
from onetrunk.errors import UserError

PLUS = "# global.columns = ID FORM NER\n"


def rows(file: Path, content: str) -> list[AnnotatedText]:
    file.write_text(content)
    return read_ner(file)


def fails(file: Path, content: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        rows(file, content)
    assert str(caught.value).replace(str(file), "F") == message


def test_a_token_may_be_a_number_sign(tmp_path: Path) -> None:
    want = [AnnotatedText.from_words(["#", "1"], ["B-X", "O"])]
    assert rows(tmp_path / "a.conll", "# B-X\n1 O\n") == want
    assert rows(tmp_path / "a.conllu", "# a comment\n#\tB-X\n1\tO\n") == want
    assert rows(tmp_path / "b.conll", f"{PLUS}# text = # 1\n1\t#\tB-X\n2\t1\tO\n") == want


def test_words_beside_the_sentence_are_passed_over(tmp_path: Path) -> None:
    content = f"{PLUS}1-2\tzum\t_\n1\tzu\tO\n2\tdem\tB-X\n2.1\tgeht\t_\n\n"
    want = [AnnotatedText.from_words(["zu", "dem"], ["O", "B-X"])]
    assert rows(tmp_path / "a.conllup", content) == want
    content = f"{PLUS}1-2\tzum\t_\n1\tzu\tO\n2\tdem\tX\n"
    fails(tmp_path / "a.conllup", content, "F:4: tag 2 'X' is not O, B-type or I-type")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# global.columns = ID FORM NE\n1\ta\tO\n",
         "F:1: 'global.columns' has no column 'NER'; did you mean 'NE'? columns: FORM, ID, NE"),
        ("# global.columns = FORM NER X:NER\na\tO\tO\n",
         "F:1: 'global.columns' has NER and X:NER; keep one of them"),
        (f"{PLUS}1\ta\n", "F:2: 2 columns but line 1 has 3 ('1\\ta')"),
        ("# a\n" + "\t".join("1234567890") + "\n",
         "F:2: 10 columns, of which none is declared to hold NER tags; "
         "begin with '# global.columns = ID FORM …'"),
    ],
)  # fmt: skip
def test_bad_conll_u(tmp_path: Path, content: str, message: str) -> None:
    fails(tmp_path / "a.conllu", content, message)


def test_texts(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("a O\nb X\n\nc O\n")
    assert read_texts(tmp_path / "a.conll") == ["a b", "c"]


def test_schemes_of_one_source(tmp_path: Path) -> None:
    notes = Notes()
    (tmp_path / "train_1.conll").write_text("a I-X\nb B-X\nc O\n\nd I-X\ne I-Y\n")
    (tmp_path / "train_2.conll").write_text("a O\n\nb I-X\n")
    entities = [row.entities for row in read_ner(tmp_path, notes)]
    x, y = (0, 1, "X"), (2, 3, "Y")
    assert entities == [(x, (2, 3, "X")), (x, y), (), (x,)]
    files = [tmp_path / f"train_{number}.conll" for number in (1, 2)]
    assert notes.lines() == [
        f"IOB1 tags converted to IOB2: 4 ({files[0]}:1, {files[0]}:5, {files[1]}:3, …)"
    ]
    files[1].write_text("a O\n\nb B-X\n")
    message = (
        "2.conll:3: tag 1 'B-X' follows no entity of its type; IOB1 writes I-X; the tags are IOB1 "
        "by 1.conll:1 (tag 1 'I-X'); write all tags in one scheme"
    )
    with pytest.raises(UserError) as caught:
        read_ner(tmp_path)
    assert str(caught.value).replace(f"{tmp_path}/train_", "") == message
    with pytest.raises(UserError, match=r"train_1\.conll:1: tag 1 'I-X' does not continue"):
        read_ner(tmp_path, scheme="iob2")
