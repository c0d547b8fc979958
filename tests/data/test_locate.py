import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.locate import Located, find_file, locate
from onetrunk.data.notes import Note, Notes
from onetrunk.data.sources import (
    open_texts,
    read_classification,
    read_ner,
    stream_classification,
)
from onetrunk.errors import UserError

SUFFIXES = (
    ".parquet, .arrow, .jsonl, .json, .csv, .tsv, .xlsx, .spacy, .txt, "
    ".conll, .conllu, .conllup, .iob, .iob2, .bio, .ann"
)


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def names(located: Located) -> list[str]:
    return [file.name for file in located.files]


def fails(folder: Path, message: str, split: str = "train") -> None:
    with pytest.raises(UserError) as caught:
        locate(folder, split)
    assert str(caught.value).replace(str(folder), "F") == message


def test_a_file(tmp_path: Path) -> None:
    fill(tmp_path, "sst/train.jsonl.gz", "sst/more.parquet", "sst/README.md")
    assert locate(tmp_path / "sst" / "train.jsonl.gz").name == "sst"
    assert locate(str(tmp_path / "sst" / "more.parquet")).name == "more"
    assert locate(tmp_path / "sst" / "README.md").files == (tmp_path / "sst" / "README.md",)
    fails(tmp_path / "sst" / "mor.parquet", "no such file: F; did you mean 'more.parquet'?")
    fails(tmp_path / "zzz" / "a", "no such file: F")
    with pytest.raises(UserError, match="is an address, which only recipes of stage 1 read"):
        locate("s3://bucket/a.csv")
    fails(tmp_path / "sst" / "README.md" / "a", "no such file: F")


def test_a_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "data/banking/train.csv")
    fails(tmp_path / "dat", "no such file: F; did you mean 'data'?")
    fails(tmp_path / "data" / "bank", "no such file: F; did you mean 'banking'?")
    message = f"no such file: F; did you mean {str(tmp_path / 'data')!r}?"
    fails(tmp_path / "dta" / "banking" / "train.csv", message)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no such file: data/bnking/a; did you mean 'data/bank"):
        locate("data/bnking/a")
    with pytest.raises(UserError, match=r"no such file: zzz/zzz$"):
        locate("zzz/zzz")


def test_a_file_of_the_folder_we_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "here/train.csv")
    monkeypatch.chdir(tmp_path / "here")
    assert locate("train.csv").name == locate(".").name == "here"


def test_one_file_of_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "train.parquet", "valid.jsonl", "README.md", "train.md", "test.csv.xz")
    assert locate(tmp_path) == Located(tmp_path.name, (tmp_path / "train.parquet",))
    assert find_file(str(tmp_path), "valid") == tmp_path / "valid.jsonl"
    assert find_file(tmp_path, "test") == tmp_path / "test.csv.xz"
    message = (
        "F holds no file or folder 'validation'; did you mean 'valid'? "
        "found: README.md, test.csv.xz, train.md, train.parquet, valid.jsonl; name the file to read"
    )
    fails(tmp_path, message, "validation")
    empty = tmp_path / "sub"
    empty.mkdir()
    fails(empty, "F holds no file or folder 'train'; found: nothing; name the file to read")


def test_several_answers(tmp_path: Path) -> None:
    fill(tmp_path, "test.conll", "test.csv", "train.jsonl", "train-1.jsonl", "dev.csv", "dev/a.csv")
    fails(tmp_path, "F holds test.conll and test.csv; name the file to read", "test")
    fails(tmp_path, "F holds train.jsonl and train-1.jsonl; name the file to read")
    fails(tmp_path, "F holds dev.csv and dev/; name the file to read", "dev")


def test_files_named_like_the_split_are_noted(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train2.jsonl", "Train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text('{"text": "a", "label": "x"}\n')
    notes = Notes()
    assert len(read_classification(tmp_path, notes)) == 1
    listed = f"{tmp_path / 'Train.jsonl'}, {tmp_path / 'train2.jsonl'}"
    assert notes.lines() == [f"files named like the split 'train', not read: 2 ({listed})"]
    notes = Notes()
    read_classification(tmp_path / "train.jsonl", notes)
    assert notes.lines() == []


def test_shards(tmp_path: Path) -> None:
    fill(tmp_path, "train_10.jsonl", "train_9.csv", "train_1.jsonl.gz", "training_2.jsonl")
    assert names(locate(tmp_path)) == ["train_1.jsonl.gz", "train_9.csv", "train_10.jsonl"]
    fill(tmp_path, "train_9.jsonl")
    fails(tmp_path, "F/train_9.jsonl and train_9.csv are one shard twice; remove one")


def test_shards_with_fingerprints(tmp_path: Path) -> None:
    wanted = ["train-00000-of-00002-a09b74b3ef9c3b56.parquet",
              "train-00001-of-00002-0123456789abcdef.parquet"]  # fmt: skip
    fill(tmp_path, *wanted, "train_notes.parquet")
    assert names(locate(tmp_path)) == wanted
    fill(tmp_path, "test-00001-of-00002-a09b74b3ef9c3b56.parquet")
    fails(tmp_path, "F lacks shard 0 of 'test' (1 of 2 are missing)", "test")
    fill(tmp_path, "train-00001-of-00002-ffffffffffffffff.parquet")
    fails(tmp_path, f"F/train-00001-of-00002-ffffffffffffffff.parquet and {wanted[1]} are one "
                    "shard twice; remove one")  # fmt: skip


def test_a_shard_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, "test-00000-of-00004.parquet", "test-00003-of-00004.parquet")
    fails(tmp_path, "F lacks shard 1 of 'test' (2 of 4 are missing)", "test")
    fill(tmp_path, "test-00002-of-00003.parquet")
    fails(tmp_path, "F holds shards of 'test' in 3 and in 4 parts; keep those of one set", "test")


def test_a_folder_of_the_split(tmp_path: Path) -> None:
    fill(tmp_path, "train/b.conll", "train/a.jsonl.zst", "train/README.md", "train/_SUCCESS")
    fill(tmp_path, "test/a.conll", "test/a.csv")
    assert names(locate(tmp_path)) == ["a.jsonl.zst", "b.conll"]
    message = "F/test/a.csv and a.conll differ by suffix alone; keep one of them"
    fails(tmp_path, message, "test")
    fill(tmp_path, "train/c.xml")
    fails(tmp_path, f"F/train/c.xml is of no supported format ({SUFFIXES})")


def test_a_folder_without_splits_is_a_training_set(tmp_path: Path) -> None:
    fill(tmp_path, "part_2.txt", "part_10.txt", "LICENSE", ".part_3.txt")
    assert names(locate(tmp_path)) == ["part_2.txt", "part_10.txt"]
    fails(
        tmp_path,
        "F holds no file or folder 'test'; "
        "found: .part_3.txt, LICENSE, part_10.txt, part_2.txt; name the file to read",
        "test",
    )
    fill(tmp_path, "Test.txt")
    with pytest.raises(UserError, match="holds no file or folder 'train'"):
        locate(tmp_path)


def test_saved_data_sets(tmp_path: Path) -> None:
    fill(tmp_path, "one/data-00000-of-00001.arrow", "all/test/data-00000-of-00001.arrow")
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "test"}
    for folder in ("one", "all/test"):
        (tmp_path / folder / "state.json").write_text(json.dumps(state))
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["test"]}')
    assert names(locate(tmp_path / "one", "test")) == ["data-00000-of-00001.arrow"]
    assert locate(tmp_path / "all", "test").files[0].parent.name == "test"
    fails(tmp_path / "one", "F holds the split 'test', not 'train'")
    message = "F holds no file or folder 'tes'; did you mean 'test'? found: "
    fails(tmp_path / "all", message + "dataset_dict.json, test/; name the file to read", "tes")
    (tmp_path / "one" / "data-00000-of-00001.arrow").unlink()
    fails(tmp_path / "one" / "x", "no such file: F")
    with pytest.raises(UserError, match=r"no such file: .*data-00000-of-00001\.arrow"):
        locate(tmp_path / "one", "test")


def test_hub() -> None:
    assert locate("hub:org/wnut", "test") == Located("wnut", (), ("org/wnut", None), "test")
    assert locate("hub:wnut:v2") == Located("wnut-v2", (), ("wnut", "v2"))
    assert str(locate("hub:wnut:v2")) == "hub:wnut:v2"
    with pytest.raises(UserError, match="'hub:' names no data set"):
        locate("hub:")
    with pytest.raises(UserError, match="hub:wnut holds no file of the split 'train'"):
        find_file("hub:wnut")


def test_hash_is_of_the_bytes_in_order(tmp_path: Path) -> None:
    fill(tmp_path, "train_1.txt", "train_2.txt")
    want = hashlib.sha256(b"train_1.txttrain_2.txt").hexdigest()
    assert locate(tmp_path).sha256() == want
    (tmp_path / "train_2.txt").write_text("other")
    assert locate(tmp_path).sha256() != want
    with pytest.raises(UserError, match="holds 2 files of the split 'train'; name one file"):
        find_file(tmp_path)


@pytest.mark.parametrize(
    "names",
    ["trainset testset", "traindata testa testb", "TrainingData TestingData", "devel main",
     "gold development", "corpus heldout trial", "a test_set", "x held-out"],
)  # fmt: skip
def test_names_that_hold_the_word_of_a_split(tmp_path: Path, names: str) -> None:
    for name in names.split():
        (tmp_path / f"{name}.csv").write_text("text,label\na,b\n")
    with pytest.raises(UserError, match="holds no file or folder 'train'"):
        locate(tmp_path)


@pytest.mark.parametrize("names", ["devices phones", "testimonials values", "golden trialled"])
def test_names_that_do_not(tmp_path: Path, names: str) -> None:
    for name in names.split():
        (tmp_path / f"{name}.csv").write_text("text,label\na,b\n")
    located = locate(tmp_path)
    assert len(located.files) == 2
    assert located.joined == "files of a folder without names of splits, all read as 'train'"
    notes = Notes()
    list(stream_classification(tmp_path, notes))
    assert notes.found[located.joined].count == 2


def test_a_split_of_another_name_in_the_folder_of_one(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for name in ("a", "train_b"):
        (folder / f"{name}.csv").write_text("text,label\na,b\n")
    assert len(locate(tmp_path).files) == 2
    (folder / "dev.csv").write_text("text,label\na,b\n")
    with pytest.raises(UserError, match=r"dev\.csv has the name of another split than its folder"):
        locate(tmp_path)


@pytest.mark.parametrize(("numbers", "counts"), [((0, 1), True), ((1, 2, 3), True), ((2,), False),
                                                 ((2023, 2024), False)])  # fmt: skip
def test_shards_are_counted(tmp_path: Path, numbers: tuple[int, ...], counts: bool) -> None:
    for number in numbers:
        (tmp_path / f"train_{number}.csv").write_text("text,label\na,b\n")
    joined = locate(tmp_path).joined
    assert joined == ("" if counts else "files whose numbers do not count, all read as 'train'")


def test_files_in_folders_below_are_noted(tmp_path: Path) -> None:
    row = '{"text": "a", "label": "x"}\n'

    def unread(folder: str, read: Any = read_classification) -> list[str]:
        notes = Notes()
        assert read(tmp_path / folder, notes)
        (below,) = [found for what, found in notes.found.items() if "below" in what] or [Note()]
        assert below.count == len(below.places)
        return [Path(place).relative_to(tmp_path / folder).as_posix() for place in below.places]

    def put(*files: str) -> None:
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(row)

    put("a/train/1.jsonl", "a/train/more/2.jsonl", "a/train2/3.jsonl", "a/test/4.jsonl",
        "a/train/.cache/5.jsonl", "a/train/app/app.json", "a/train/app/6.jsonl")  # fmt: skip
    assert unread("a") == ["train/more/2.jsonl", "train2/3.jsonl"]
    put("b/1.jsonl", "b/2024/may/2.jsonl", "b/2025/3.jsonl", "b/x/dev.jsonl")
    assert unread("b") == ["2024/may/2.jsonl", "2025/3.jsonl"]
    put("c/train.jsonl", "c/old/train.jsonl", "c/old/notes.jsonl", "c/test/1.jsonl")
    assert unread("c") == ["old/train.jsonl"]

    def texts(folder: Path, notes: Notes) -> object:
        return open_texts(folder, notes)

    assert unread("b", texts) == ["2024/may/2.jsonl", "2025/3.jsonl", "x/dev.jsonl"]
    for name in ("d/1", "d/sub/2"):
        put(f"{name}.txt", f"{name}.ann")
        (tmp_path / f"{name}.ann").write_text("")
    assert unread("d", read_ner) == ["sub/2.ann"]


def test_a_folder_of_the_split_with_files_below_alone(tmp_path: Path) -> None:
    fill(tmp_path, "train/pos/1.csv", "train/neg/1.csv")
    fails(
        tmp_path,
        "F/train holds files only in folders below it (F/train/neg/1.csv, … (2 in all)), which are "
        "not read: name one of these folders",
    )
