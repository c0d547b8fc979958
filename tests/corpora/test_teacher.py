"""Teacher states on the student's tokens: live, cached, interrupted, damaged."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertForTokenClassification,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForTokenClassification,
    T5Config,
    T5Model,
)

from onetrunk.corpora.features import TeacherFeatures, build_features, plan_shards
from onetrunk.corpora.store import RECORD, Prepared
from onetrunk.corpora.teacher import Teacher, load_teacher, teacher_states
from onetrunk.data.alignment import align_tokens, encode
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.model.loading import load_encoder

WIDTH, CLASSES = 24, 5
TEXTS = [
    "call mum in new york",
    "the river bank",
    "",
    "play 😀 music 👩‍👩‍👧, cafe\u0301!",
    "new\u200byork שלום 日本語abc",
    "ann met bob in paris " * 4,
    "a",
    " \t ",
    "met \ud83d mum",
    "playing 12 rivers",
]

Offsets = list[tuple[tuple[int, int], ...]]


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random RoBERTa token classifier: byte-level tokenizer, another width, ten characters in."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>"],
        show_progress=False,
    )
    backend.train_from_iterator(["call mum in new york now", "the river bank"] * 5, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")
    config = RobertaConfig(
        vocab_size=290, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=32, max_position_embeddings=120, pad_token_id=1, type_vocab_size=1,
        num_labels=CLASSES, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("other-teacher")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        RobertaForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def other(other_folder: Path) -> Teacher:
    return load_teacher(str(other_folder))


@pytest.fixture
def same(tiny_encoder_folder: Any) -> Teacher:
    return load_teacher(str(tiny_encoder_folder("bert")))


@pytest.fixture
def offsets(tiny_tokenizer: Any) -> Offsets:
    return [text.offsets for text in encode(tiny_tokenizer, TEXTS, 64)]


def visible(offsets: Offsets) -> list[bool]:
    return [start < end for row in offsets for start, end in row]


def test_a_teacher_with_the_students_weights_gives_the_students_states(
    tiny_encoder: Any, same: Teacher, offsets: Offsets
) -> None:
    states, mask = teacher_states(same, TEXTS, offsets)
    encoded = encode(tiny_encoder.tokenizer, TEXTS, 64)
    direct = same.vectors(encoded)
    assert mask.tolist() == visible(offsets)
    assert torch.equal(states[mask], direct[mask])
    assert not states[~mask].any()
    at = 0
    for text in encoded:  # one by one, by our own loop over layers
        ids = torch.tensor([text.ids])
        expected = tiny_encoder.states(ids, torch.ones_like(ids))[0]
        torch.testing.assert_close(direct[at : at + len(text.ids)], expected, atol=1e-5, rtol=0)
        at += len(text.ids)
    assert at == len(direct)


@pytest.mark.parametrize("output", ["states", "probabilities"])
def test_another_tokenizer_and_width_equal_a_loop_over_the_unmodified_model(
    other_folder: Path, offsets: Offsets, output: Any
) -> None:
    teacher = load_teacher(str(other_folder), output)
    assert teacher.width == (WIDTH if output == "states" else CLASSES)
    states, mask = teacher_states(teacher, TEXTS, offsets)
    assert (states.shape, states.dtype) == ((len(mask), teacher.width), torch.float32)
    model = RobertaForTokenClassification.from_pretrained(other_folder).eval()
    at, partly = 0, 0
    for text, spans in zip(TEXTS, offsets, strict=True):
        (encoded,) = encode(teacher.tokenizer, [text], 200)
        ids = torch.tensor([encoded.ids])
        with torch.no_grad():
            hidden = model.roberta(ids).last_hidden_state[0]
            if output == "probabilities":
                hidden = model(ids).logits[0].softmax(-1)
        expected = torch.zeros(len(spans), teacher.width)
        for i, j, weight in zip(*align_tokens(spans, encoded.offsets), strict=True):
            expected[i] += weight * hidden[j]
            partly += weight < 1
        torch.testing.assert_close(states[at : at + len(spans)], expected, atol=1e-5, rtol=0)
        at += len(spans)
    assert partly > 10
    if output == "probabilities":
        torch.testing.assert_close(states[mask].sum(1), torch.ones(int(mask.sum())))


def test_batches_and_their_order_change_nothing(other: Teacher, offsets: Offsets) -> None:
    states, mask = teacher_states(other, TEXTS, offsets)
    sizes = [len(row) for row in offsets]
    for batch in ([[i] for i in range(len(TEXTS))], [[5, 0, 3], [9, 8, 7, 6], [4, 2, 1]]):
        for rows in batch:
            part, part_mask = teacher_states(
                other, [TEXTS[row] for row in rows], [offsets[row] for row in rows]
            )
            whole = [states.split(sizes)[row] for row in rows]
            torch.testing.assert_close(part, torch.cat(whole), atol=1e-5, rtol=0)
            assert torch.equal(part_mask, torch.cat([mask.split(sizes)[row] for row in rows]))


def test_a_decoder_without_padding_token_can_teach(tmp_path: Path, offsets: Offsets) -> None:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([], trainer)
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    config = GPT2Config(vocab_size=256, n_embd=12, n_layer=1, n_head=2, n_positions=99)
    GPT2Model(config).save_pretrained(tmp_path)
    teacher = load_teacher(str(tmp_path))
    assert (teacher.width, teacher.max_length) == (12, 99)
    states, mask = teacher_states(teacher, TEXTS, offsets)
    assert mask.tolist() == visible(offsets)
    alone, _ = teacher_states(teacher, TEXTS[:1], offsets[:1])
    torch.testing.assert_close(states[: len(offsets[0])], alone, atol=1e-5, rtol=0)
    nothing, no_mask = teacher_states(teacher, [""], [((0, 0), (0, 0))])
    assert not nothing.any()
    assert no_mask.tolist() == [False, False]


def test_states_are_targets_that_a_loss_can_use(other: Teacher, offsets: Offsets) -> None:
    states, mask = teacher_states(other, TEXTS, offsets)
    mine = torch.zeros_like(states, requires_grad=True)
    torch.nn.functional.mse_loss(mine[mask], states[mask]).backward()
    assert mine.grad is not None
    assert all(parameter.grad is None for parameter in other.model.parameters())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this test; each test has its own."""
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def small(
    teacher: Teacher, offsets: Offsets, texts: list[str] = TEXTS, notes: Notes | None = None
) -> TeacherFeatures:
    """Several shards, in batches of two."""
    size = 20 * WIDTH * 2
    return build_features(teacher, texts, offsets, notes, shard_bytes=size, batch_rows=2)


def folders(features: TeacherFeatures) -> list[Path]:
    return [shard.folder for shard in features.shards]


def contents(cache: Path) -> dict[str, bytes]:
    """The arrays of all whole shards, by folder and name."""
    files = cache.glob("teacher/*/*.bin")
    return {
        str(file.relative_to(cache)): file.read_bytes()
        for file in files
        if (file.parent / RECORD).exists()
    }


def test_the_cache_equals_live_states(other: Teacher, offsets: Offsets, cache: Path) -> None:
    features = small(other, offsets)
    states, mask = teacher_states(other, TEXTS, offsets)
    assert (len(features), features.width) == (len(TEXTS), WIDTH)
    sizes = [len(row) for row in offsets]
    for row, (live, live_mask) in enumerate(
        zip(states.split(sizes), mask.split(sizes), strict=True)
    ):
        cached, cached_mask = features.row(row)
        assert (cached.dtype, cached_mask.dtype) == (np.float16, np.bool_)
        np.testing.assert_allclose(cached, live.numpy(), rtol=1e-3, atol=1e-4)
        assert cached_mask.tolist() == live_mask.tolist()
    assert len(features.shards) > 2
    for shard in features.shards:
        assert all(isinstance(array, np.memmap) for array in shard.arrays.values())
    for outside in (-1, len(TEXTS)):
        with pytest.raises(IndexError, match=f"row {outside} of 10"):
            features.row(outside)


def test_shards_are_bounded_and_cover_every_row_once() -> None:
    lengths = [3, 4, 5, 50, 1, 1, 0, 9]
    plan = plan_shards(lengths, 2, shard_bytes=40)
    assert [row for rows in plan for row in rows] == list(range(len(lengths)))
    for rows in plan:
        assert len(rows) == 1 or sum(lengths[row] for row in rows) * 2 * 2 <= 40
    assert plan == [range(0, 2), range(2, 3), range(3, 4), range(4, 7), range(7, 8)]
    assert plan_shards([], 2, 40) == []


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_little_or_nothing_can_be_cached(
    other: Teacher, cache: Path, tiny_tokenizer: Any, texts: list[str]
) -> None:
    spans = [text.offsets for text in encode(tiny_tokenizer, texts, 64)]
    features = small(other, spans, texts)
    assert len(features) == len(texts)
    assert not any(features.row(row)[1].any() for row in range(len(texts)))
    assert not teacher_states(other, texts, spans)[1].any()


def test_a_second_build_computes_nothing(other: Teacher, offsets: Offsets, cache: Path) -> None:
    first = small(other, offsets)
    before = {file: file.stat().st_mtime_ns for file in cache.glob("teacher/*/*")}
    assert len(before) > 8

    def refuse(*_: Any) -> None:
        raise AssertionError("the teacher ran")

    other.model.register_forward_pre_hook(refuse)
    assert folders(small(other, offsets)) == folders(first)
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert not list(cache.glob("teacher/.*"))


def in_child(work: Callable[[], Any]) -> int:
    """Start a process that does ``work`` and exits with 0; its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("batches", [1, 4])
def test_a_killed_build_goes_on_behind_its_last_shard(
    other: Teacher, offsets: Offsets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    runs, kill_after = [0], 999

    def count(*_: Any) -> None:
        runs[0] += 1
        if runs[0] > kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def until_killed() -> None:
        nonlocal kill_after
        runs[0], kill_after = 0, batches
        small(other, offsets)

    other.model.register_forward_pre_hook(count)
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "whole"))
    small(other, offsets)
    expected = contents(tmp_path / "whole")
    whole, runs[0] = runs[0], 0

    cache = tmp_path / "killed"
    monkeypatch.setenv("ONETRUNK_CACHE", str(cache))
    _, status = os.waitpid(in_child(until_killed), 0)
    assert os.WIFSIGNALED(status)
    finished = contents(cache)
    assert finished.items() <= expected.items()
    assert len(finished) < len(expected)
    assert bool(finished) == (batches > 1)
    times = {name: (cache / name).stat().st_mtime_ns for name in finished}
    notes = Notes()
    assert len(small(other, offsets, notes=notes)) == len(TEXTS)
    assert not any("damaged" in line for line in notes.lines())
    assert 0 < runs[0] < whole if finished else runs[0] == whole
    assert contents(cache) == expected
    assert all((cache / name).stat().st_mtime_ns == time for name, time in times.items())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_processes_build_one_cache(
    other: Teacher, offsets: Offsets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("together", "alone"):
        monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / name))
        if name == "together":
            children = [in_child(lambda: small(other, offsets)) for _ in range(2)]
            assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        features = small(other, offsets)
        assert any(features.row(row)[1].any() for row in range(len(TEXTS)))
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"{}" if path.suffix == ".json" else b"")


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", ["states.bin", "mask.bin", "starts.bin", RECORD])
def test_a_damaged_shard_is_refused_and_rebuilt_alone(
    other: Teacher, offsets: Offsets, cache: Path, damage: Callable[[Path], None], name: str
) -> None:
    if name == RECORD and damage is flip:
        return  # JSON may say the same without its last byte, a line break
    before = small(other, offsets)
    expected = contents(cache)
    shard = folders(before)[1]
    damage(shard / name)
    with pytest.raises(UserError, match=rf"{name} is damaged|it has no {name}"):
        Prepared.open(shard)
    whole = [cache / file for file in expected if not (cache / file).is_relative_to(shard)]
    times = [path.stat().st_mtime_ns for path in whole]
    notes = Notes()
    features = small(other, offsets, notes=notes)
    assert contents(cache) == expected
    assert [path.stat().st_mtime_ns for path in whole] == times
    assert any(features.row(row)[1].any() for row in range(len(TEXTS)))
    (line,) = (line for line in notes.lines() if line.startswith("damaged cache made anew ("))
    assert str(shard) in line


def test_the_key_is_what_the_features_are_made_of(
    other_folder: Path, other: Teacher, offsets: Offsets, tmp_path: Path, cache: Path
) -> None:
    def key(
        teacher: Teacher, texts: list[str] = TEXTS, spans: Any = offsets, size: int = 999
    ) -> Any:
        return tuple(folders(build_features(teacher, texts, spans, shard_bytes=size)))

    original = key(other)
    moved = shutil.copytree(other_folder, tmp_path / "moved")
    again = load_teacher(str(moved))
    encode(again.tokenizer, TEXTS, 7)  # leaves a truncation behind
    assert key(again, list(TEXTS), [np.array(row) for row in offsets]) == original

    touched = load_teacher(str(other_folder))
    with torch.no_grad():
        next(touched.model.parameters())[3, 0] += 1e-3
    config = load_teacher(str(other_folder))
    config.model.config.layer_norm_eps = 1e-3
    different = [
        key(touched),
        key(config),
        key(load_teacher(str(other_folder), "probabilities")),
        key(load_teacher(str(other_folder), max_length=50)),
        key(load_teacher(str(other_folder), precision="bf16")),
        key(other, [*TEXTS[:-1], "playing 13 rivers"]),
        key(other, TEXTS, [*offsets[:-1], offsets[-1][:-1]]),
        key(other, [TEXTS[1], TEXTS[0], *TEXTS[2:]], [offsets[1], offsets[0], *offsets[2:]]),
        key(other, size=998),
    ]
    every = [folder for stores in (original, *different) for folder in stores]
    assert len(set(every)) == len(every)


def test_a_state_that_float16_cannot_hold_is_an_error(
    other: Teacher, offsets: Offsets, cache: Path
) -> None:
    with torch.no_grad():
        other.model.encoder.layer[-1].output.LayerNorm.weight.fill_(1e6)
    with pytest.raises(UserError, match=r"text \d: teacher .* beyond float16's 65504"):
        small(other, offsets)
    assert teacher_states(other, TEXTS, offsets)[0].isfinite().all()


def test_what_one_of_them_does_not_read_is_counted(
    other_folder: Path, tiny_tokenizer: Any, cache: Path
) -> None:
    def found_by(teacher: Teacher, spans: Any) -> dict[str, Any]:
        computed, cached = Notes(), Notes()
        for notes in (computed, cached):
            build_features(teacher, texts, spans, notes)
        assert cached.as_json() == computed.as_json()
        return computed.as_json()

    texts = ["a", "call mum in new york now", "call \u200b"]
    teacher = load_teacher(str(other_folder), max_length=5)
    spans = [text.offsets for text in encode(tiny_tokenizer, texts, 64)]
    found = found_by(teacher, spans)
    assert found["texts that the student reads further than the teacher"] == {
        "count": 1, "first": ["text 1"],
    }  # fmt: skip
    alone = found["student tokens without a teacher token"]
    _, mask = teacher_states(teacher, texts, spans)
    assert alone["count"] == sum(visible(spans)) - int(mask.sum()) > 2

    teacher = load_teacher(str(other_folder))
    spans = [text.offsets for text in encode(tiny_tokenizer, texts, 4)]
    found = found_by(teacher, spans)
    cut = found.pop("texts that the teacher reads further than the student")
    assert cut == {"count": 2, "first": ["text 2", "text 1"]}  # \u200b: no token of the student's
    assert not found


def test_rows_that_do_not_belong_together_are_errors(
    other: Teacher, offsets: Offsets, cache: Path
) -> None:
    with pytest.raises(UserError, match="10 texts, but student offsets of 9"):
        build_features(other, TEXTS, offsets[:-1])
    with pytest.raises(UserError, match="text 2: a student token ends at character 3 of 0"):
        build_features(other, TEXTS[:3], [offsets[0], offsets[1], ((0, 3),)])
    with pytest.raises(UserError, match="text 0: a token ends at character 3 of 0"):
        teacher_states(other, [""], [((0, 3),)])
    assert not cache.exists()


def test_the_longest_input_runs(other: Teacher, same: Teacher) -> None:
    assert other.max_length == 118  # 120 positions, numbered from 2
    text = "a " * 300
    for teacher in (other, same):
        (encoded,) = encode(teacher.tokenizer, [text], teacher.max_length)
        assert len(teacher.vectors([encoded])) == teacher.max_length


@pytest.mark.parametrize("length", [2, 119])
def test_a_length_that_the_teacher_cannot_read_is_an_error(other_folder: Path, length: int) -> None:
    with pytest.raises(UserError, match=f"reads 3 to 118 tokens, not {length}"):
        load_teacher(str(other_folder), max_length=length)


def test_an_unknown_output_is_an_error(other_folder: Path) -> None:
    with pytest.raises(UserError, match="'state' is unknown; did you mean 'states'"):
        load_teacher(str(other_folder), "state")  # type: ignore[arg-type]


def test_a_token_classifier_without_its_head_is_an_error(tiny_encoder_folder: Any) -> None:
    folder = str(tiny_encoder_folder("bert"))
    with pytest.raises(UserError, match=r"no usable weight for 'classifier\.bias'"):
        load_teacher(folder, "probabilities")


def test_a_missing_weight_is_an_error(other_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(other_folder, tmp_path / "copy")
    weights = load_file(folder / "model.safetensors")
    del weights["roberta.encoder.layer.0.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"no usable weight for .*layer\.0\.output\.dense\.weight"):
        load_teacher(str(folder))


def test_a_pickle_is_refused(other_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(other_folder, tmp_path / "copy")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load teacher"):
        load_teacher(str(folder))


def test_a_missing_tokenizer_is_an_error(other_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(other_folder, tmp_path / "copy")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="teacher"):
        load_teacher(str(folder))


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    T5Model(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is of type 't5': a text encoder"):
        load_teacher(str(tmp_path))


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(UserError, match=r"no such folder: \./none"):
        load_teacher("./none")


def test_a_saved_classifier_of_the_students_kind_gives_the_encoders_states(
    tiny_encoder_folder: Any, tiny_tokenizer: Any, tmp_path: Path, offsets: Offsets
) -> None:
    folder = tiny_encoder_folder("bert")
    BertForTokenClassification.from_pretrained(folder).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    states, _ = teacher_states(load_teacher(str(tmp_path)), TEXTS, offsets)
    expected, _ = teacher_states(load_teacher(str(folder)), TEXTS, offsets)
    assert torch.equal(states, expected)
    assert load_encoder(str(folder)).width == states.shape[1]
