from pathlib import Path

import pytest

from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.sources import read_ner, read_nested, read_texts
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


ADA = AnnotatedText("Ada sang", ((0, 3, "PER"),))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("1\tAda\tB-PER\n2\tsang\tO\n\n1\tAda\tB-PER\n2\tsang\tO\n", "column 3"),
        ("#\thttp://a.org\t[2009]\n1\tAda\tB-PER\tO\n2\tsang\tO\tO\n", "column 3"),
        ("# sent_id = 1\n# text = Ada sang\n1\tAda\tB-PER\t-\tqa\n2\tsang\tO\t-\tqa\n", "column 3"),
        ("# text = O\n0 Ada NNP B-PER\n1 sang VBD O\n", "column 4"),
        ("1-2\tAda sang\t_\n1\tAda\tB-PER\n2\tsang\tO\n2.1\tx\t_\n", "column 3"),
        ("# id 7a-01\tdomain=train\nAda _ _ B-PER\nsang _ _ O\n", ""),
        ("#begin document (a); part 0\nAda B-PER\nsang O\n", ""),
        ("-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-PER\nsang VBD B-VP O\n", ""),
        ("TOKEN\tNE-COARSE-LIT\tMISC\n# a:id = 1\nAda\tB-PER\t_\n# part = 2\nsang\tO\t_\n",
         "TOKEN and NE-COARSE-LIT"),
        ("Word Tag\nAda B-PER\nsang O\n", "Word and Tag"),
        ("Ada B-PER qa\nsang O qa\n", "column 2"),
        ("Ada\tB-PER \nsang\tO\u00a0\n", ""),
        ("Ada\t B- PER\nsang\t O\n", ""),
        ("1\tAda\tB-PER \tx\n2\tsang\tO\u200b\tx\n", "column 3"),
        ("Ada\tx\tB-PER \nsang\tx\tO \n", ""),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, content: str, note: str) -> None:
    notes, file = Notes(), tmp_path / "a.conll"
    file.write_text(content)
    assert set(read_ner(file, notes)) == {ADA}
    lines = [line for line in notes.lines() if line.startswith("files ")]
    assert len(lines) == bool(note)
    assert note in "".join(lines)


def test_number_signs_everywhere(tmp_path: Path) -> None:
    words = ["#", "#metoo", "#", "a"]
    for cut in " ", "\t":
        sentence = "".join(f"{word}{cut}B-X\n" for word in words)
        for first in range(4):
            moved = words[first:] + words[:first]
            content = "".join(f"{word}{cut}B-X\n" for word in moved) + "\n" + sentence
            assert [row.text for row in rows(tmp_path / "a.conll", content)] == [
                " ".join(moved), " ".join(words),
            ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 O\n2 O\n\n1 O\n2 B-X\n",
         "F:1: the first column counts words, none holds them; write token, tag"),
        ("0\tAda\tB-PER\n0\tsang\tO\n1\tBob\tB-PER\n",
         "F:1: the first column holds numbers alone, no words; write token, tag, and a blank line "
         "after each sentence"),
        ("B-X Ada\nO sang\n\nB-X Bo\n", "F:1: the first column holds the tags; write token, tag"),
        ("token\tpos\na\tNN\n", "F:1: the row of names has no column 'NER'; columns: pos, token"),
        ("a O\n\n# one two O\nb O\n", "F:3: 4 columns but line 1 has 2 ('# one two O')"),
        ("# only a comment\n", "F has no rows"),
    ],
)  # fmt: skip
def test_bad_layouts(tmp_path: Path, content: str, message: str) -> None:
    fails(tmp_path / "a.conll", content, message)


def test_a_file_without_blank_lines(tmp_path: Path) -> None:
    notes, file = Notes(), tmp_path / "a.conll"
    file.write_text("Ada B-PER\n" + "sang O\n" * 1000)
    read_ner(file, notes)
    what = "sentences of more than 1000 words; a blank line ends a sentence"
    assert notes.lines() == [f"{what}: 1 ({file}:1)"]


def test_the_code_of_a_language_before_every_token(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.conll", Notes()
    file.write_text("en:Ada B-PER\nen:: O\nen:left O\n")
    (row,) = read_ner(file, notes)
    assert (row.text, row.entities) == ("Ada : left", ((0, 3, "PER"),))
    assert notes.lines() == [
        f"files whose tokens all begin with 'en:', which is left out: 1 ({file}:1)"
    ]


def test_two_columns_of_tags_are_noted(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.conll", Notes()
    file.write_text("Ada\tB-PER\tO\nOslo\tO\tB-LOC\n")
    assert read_ner(file, notes)[0].entities == ((4, 8, "LOC"),)
    what = "files with several columns of tags, of which column 3 is read"
    assert notes.lines() == [f"{what}: 1 ({file}:1: not column 2)"]
    notes = Notes()  # CoNLL-2003 has phrases, too
    file.write_text("Ada NNP B-NP B-PER\nleft VBD B-VP O\n")
    assert read_ner(file, notes)[0].entities == ((0, 3, "PER"),)
    assert not notes.lines()


def test_webanno_is_refused(tmp_path: Path) -> None:
    content = "#FORMAT=WebAnno TSV 3.3\n\n#Text=Ada\n1-1\t0-3\tAda\t*[1]\tPER[1]\n"
    why = "WebAnno's own TSV is not read; export CoNLL 2002 or CoNLL-U"
    fails(tmp_path / "a.tsv", content, f"F:1: {why}")


WORDS = [["the", "cats", "left", "Oslo"], ["she", "saw", "Rome"], ["Ada", "sang"]]


def laid_out(row: str, cut: str = "\t") -> str:
    """Sentences of which each line is ``row``, with its numbers, word, part of speech and tag."""
    content = ""
    for s, words in enumerate(WORDS, 1):
        for i, word in enumerate(words, 1):
            at = len(" ".join(words[: i - 1])) + (i > 1)
            pos, tag = ("NNP", "B-X") if word.istitle() else ("NN", "O")
            cells = row.format(
                s=s, i=i, ten=10 * i, at=at, end=at + len(word), w=word, pos=pos, tag=tag,
                arabic="٠١٢٣٤"[i], circled="①②③④"[i - 1], letter="abcd"[i - 1],
            )  # fmt: skip
            content += cells.replace(" ", cut) + "\n"
        content += "\n"
    return content


@pytest.mark.parametrize("cut", "\t ")
@pytest.mark.parametrize(
    "row",
    [
        "s{s} {w} {tag}", "{s} {w} {tag}", "a.txt {w} {tag}", "{at} {end} {w} {tag}",
        "{at} {w} {tag}", "{i}. {w} {tag}", "w{i} {w} {tag}", "{ten} {w} {tag}",
        "{s}-{i} {w} {tag}", "{s}.{i} {at}-{end} {w} {tag}", "{pos} {w} {tag}",
        "a.txt s{s} {i} {at} {end} {w} {pos} {tag}", "{i} {at} {end} {w} {pos} {tag}",
        "s{s} {pos} {w} {tag}", "{arabic} {w} {tag}", "{circled} {w} {tag}", "{letter} {w} {tag}",
        "#{s} {w} {tag}", "#{i} {w} {tag}",
    ],
)  # fmt: skip
def test_columns_before_the_words(tmp_path: Path, row: str, cut: str) -> None:
    notes, file = Notes(), tmp_path / "a.conll"
    file.write_text(laid_out(row, cut))
    read = read_ner(file, notes)
    assert [row.text for row in read] == [" ".join(words) for words in WORDS]
    assert [len(row.entities) for row in read] == [1, 1, 1]
    assert any(f"column {row.split().index('{w}') + 1} is read as token" in line
               for line in notes.lines())  # fmt: skip


@pytest.mark.parametrize(
    "row",
    ["{w} {pos} {tag}", "{w} s{s} {tag}", "{w} {at} {end} {tag}", "{w} w{i} {tag}", "{w} {w} {tag}",
     "{w} {pos} {w} {tag}"],
)  # fmt: skip
def test_columns_after_the_words(tmp_path: Path, row: str) -> None:
    read = rows(tmp_path / "a.conll", laid_out(row))
    assert [row.text for row in read] == [" ".join(words) for words in WORDS]


def test_words_may_be_numbers(tmp_path: Path) -> None:
    numbers = AnnotatedText.from_words(["10", "20", "30"], ["B-X", "O", "O"])
    assert rows(tmp_path / "a.conll", "10 CD B-X\n20 CD O\n30 CD O\n") == [numbers]
    assert rows(tmp_path / "a.conll", "10 B-X\n20 O\n30 O\n") == [numbers]
    same = AnnotatedText.from_words(["ha"] * 4, ["O"] * 4)
    assert rows(tmp_path / "a.conll", "ha UH O\n" * 4) == [same]


NAMES = "begin the file with a row of names, of which TOKEN is that of the words and NER the tags'"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("7 the O\n7 cats O\n3 left O\n1 Oslo B-X\n\n4 Ada B-X\n",
         "F:1: the first column holds numbers alone, no words; write token, tag, and a blank line "
         "after each sentence"),
        ("7 the O\n4 cats O\n3 left O\n1 Oslo B-X\n",
         f"F:1: column 1 ('1') holds numbers alone, column 2 ('Oslo') may hold the words; {NAMES}"),
        ("s1 the O\ns1 cats O\ns2 Ada B-X\ns2 left O\n",
         "F:1: column 1 ('s1') repeats an id in the lines that belong together; write token, tag, "
         "and a blank line after each sentence"),
        ("".join(f"{'adv'[n % 3]} {chr(97 + n)}{'x' * n} O\n" for n in range(24)),
         "F:1: column 1 ('a') holds 3 different values, column 2 ('a') 24: which are the words? "
         + NAMES),
        ("NNP Ada B-X\nVBZ pays O\nCD 5 O\nNN euros O\n",
         "F:1: column 1 ('CD') seems to hold parts of speech, column 2 ('5') the words; " + NAMES),
        ("doc1 Ada B-X\ndoc1 sang O\n",
         "F:1: column 1 ('doc1') repeats a value in all lines of a sentence; " + NAMES),
        ("1-1 O\n1-2 B-X\n\n2-1 O\n",
         "F:1: the first column counts words, none holds them; write token, tag"),
    ],
)  # fmt: skip
def test_no_certain_words(tmp_path: Path, content: str, message: str) -> None:
    fails(tmp_path / "a.conll", content, message)


def test_ids_that_look_like_ranges(tmp_path: Path) -> None:
    read = rows(tmp_path / "a.conllup", f"{PLUS}1-1\tAda\tB-X\n1-2\tsang\tO\n")
    assert [row.text for row in read] == ["Ada sang"]


@pytest.mark.parametrize("count", [True, False])
def test_layers_of_nested_entities(tmp_path: Path, count: bool) -> None:
    lines = ["University\tB-ORG\tO\tO", "of\tI-ORG\tO\tO", "Oslo\tI-ORG\tB-LOC\tB-ORG"]
    lines = [f"{number}\t{line}" if count else line for number, line in enumerate(lines, 1)]
    file, notes = tmp_path / "a.tsv", Notes()
    # What the first lines show is not all.
    plain = "1\tAda\tO\tO\tO\n2\tsang\tO\tO\tO\n\n"
    plain = plain if count else plain.replace("1\t", "").replace("2\t", "")
    file.write_text(plain * 1200 + "#\thttp://a.org\n" * count + "\n".join(lines) + "\n")
    org, loc = (0, 18, "ORG"), (14, 18, "LOC")
    assert read_nested(file, notes)[-1].entities == (org, loc)
    assert not any("several columns" in line for line in notes.lines())
    notes = Notes()
    assert read_ner(file, notes)[-1].entities == ((org,) if count else ((14, 18, "ORG"),))
    read, other = (3, 4) if count else (4, 2)
    what = f"files with several columns of tags, of which column {read} is read"
    assert f"{what}: 1 ({file}:1: not column {other})" in notes.lines()


@pytest.mark.parametrize(
    "names", ["token\tner\tnested\n", "# global.columns = FORM NER X:NESTED\n", "WORD TAG TAG2\n"]
)
def test_layers_beside_names(tmp_path: Path, names: str) -> None:
    file, notes = tmp_path / "a.tsv", Notes()
    file.write_text(f"{names}University\tB-ORG\tO\nof\tI-ORG\tO\nOslo\tI-ORG\tB-LOC\n")
    org, loc = (0, 18, "ORG"), (14, 18, "LOC")
    assert read_nested(file)[0].entities == (org, loc)
    assert read_ner(file, notes)[0].entities == (org,)
    what = f"files with several columns of tags, of which column 2 is read: 1 ({file}:"
    assert any(line.startswith(what) for line in notes.lines())


def test_number_signs_behind_parts_of_speech(tmp_path: Path) -> None:
    """Where the first column was passed over, a line that begins with # is still a row."""
    content = laid_out("{pos} {w} {tag}") + "NNP\tAda\tB-X\n#\t£\tB-CUR\nCD\t9\tO\n"
    assert rows(tmp_path / "a.tsv", content)[-1] == AnnotatedText.from_words(
        ["Ada", "£", "9"], ["B-X", "B-CUR", "O"]
    )


@pytest.mark.parametrize("first", ["1 -DOCSTART- -X- O", "-DOCSTART- -X- O O"])
def test_documents_begin_in_any_column(tmp_path: Path, first: str) -> None:
    content = f"{first}\n\n1 Ada N B-X\n2 sang V O\n\n1 Bo N B-X\n2 left V O\n"
    assert [row.text for row in rows(tmp_path / "a.conll", content)] == ["Ada sang", "Bo left"]


def test_conll_2012_is_refused(tmp_path: Path) -> None:
    content = "#begin document (a); part 000\na 0 0 In IN - -\na 0 1 Rome NNP - (GPE)\n"
    why = "CoNLL-2012, which has no tags but entities in brackets, is not read; write token, tag"
    fails(tmp_path / "a.conll", content, f"F:1: {why}")
