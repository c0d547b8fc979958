"""Tiny random encoders, tokenizers and adapters for all tests: nothing is downloaded."""

from __future__ import annotations

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests run side by side. Threads of numpy and PyTorch that are more than the cores wait for each
# other: some tests take ten times as long. To be set before numpy is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import gc
import importlib
import json
import multiprocessing
import random
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from onetrunk.bundle import parity
from onetrunk.model import precision
from onetrunk.model.architecture import TARGETS
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.padding import pad
from onetrunk.prefinetuning import run
from onetrunk.processes import Processes

LAYERS, WIDTH, FFN, HEADS, POSITIONS = 3, 32, 48, 4, 66

# [PAD] is not 0, so that a padding id assumed rather than read shows.
SPECIAL = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
OTHER = list(".,!?'-@#:/") + list("日本語北京東") + list("שלוםمرحبا") + ["😀"]
WORDS = [
    "the",
    "a",
    "is",
    "in",
    "to",
    "call",
    "met",
    "mum",
    "new",
    "york",
    "paris",
    "river",
    "bank",
]
WORDS += ["play", "music", "##ing", "##ed", "##er"]
VOCABULARY = [*dict.fromkeys([*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), *OTHER, *WORDS])]

MakeFolder = Callable[..., Path]

# The libraries leave a million objects, through which Python's collector would go again and again:
# a quarter of the time of all tests.
gc.collect()
gc.freeze()
gc.set_threshold(100_000, 50, 100)

# A collector that runs in a fork may delete a session of onnxruntime, which waits for threads that
# the fork does not have. So it must not look at what it inherited.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=gc.freeze)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Before every test: one may leave more, and a child forked from then on would wait for
    OpenMP threads that it does not have."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_precision_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``auto`` chooses must not depend on the machine."""
    monkeypatch.setattr(precision, "bf16_speedup", lambda device, width: 1.0)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test takes the power away, and the disk is a tenth of the time."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _exports_compare_few_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare is most of the time of a tiny export. Tests of its answers choose their texts."""
    monkeypatch.setattr(parity, "COMPARED", 8)


@pytest.fixture(autouse=True)
def _no_figures_of_stage_1(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To draw them takes several times as long as the tiny runs of tests. Tests that look at them
    are marked ``figures``."""
    if request.node.get_closest_marker("figures") is None:
        for name in ("plot_losses", "plot_conflict"):
            monkeypatch.setattr(run, name, lambda records, path, title: path.touch())


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["ONETRUNK_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer of letters and a few words."""
    index = {token: i for i, token in enumerate(VOCABULARY)}
    backend = Tokenizer(WordPiece(index, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, index[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=POSITIONS - 2,
    )


def _tiny_model(kind: str, pad_id: int) -> Any:
    # A wide initialisation: with the usual 0.02 so small a model hardly mixes its tokens.
    shape: dict[str, Any] = {
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": POSITIONS,
        "pad_token_id": pad_id,
        "initializer_range": 0.2,
    }
    bert = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FFN,
    }
    if kind == "bert":
        return BertModel(BertConfig(**shape, **bert))
    if kind == "roberta":
        return RobertaModel(RobertaConfig(**shape, **bert, type_vocab_size=1))
    if kind == "electra":
        return ElectraModel(ElectraConfig(**shape, **bert, embedding_size=WIDTH // 2))
    if kind == "distilbert":
        sizes = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": FFN}
        return DistilBertModel(DistilBertConfig(**shape, **sizes))
    raise ValueError(kind)


@pytest.fixture(scope="session")
def tiny_encoder_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast
) -> MakeFolder:
    """``tiny_encoder_folder(kind, seed)``: the folder of a random encoder. Copy it to change it."""
    made: dict[tuple[str, int], Path] = {}

    def make(kind: str = "bert", seed: int = 0) -> Path:
        if (kind, seed) not in made:
            folder = tmp_path_factory.mktemp(f"{kind}-{seed}-")
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                model = _tiny_model(kind, tiny_tokenizer.pad_token_id)
                for name, parameter in model.named_parameters():  # no zero biases, no unit norms
                    if parameter.ndim == 1:
                        with torch.no_grad():
                            parameter.add_(0.1 * torch.randn_like(parameter))
                    assert parameter.dtype == torch.float32, name
            model.save_pretrained(folder)
            tiny_tokenizer.save_pretrained(folder)
            made[kind, seed] = folder
        return made[kind, seed]

    return make


@pytest.fixture(scope="session")
def fresh_encoder(tiny_encoder_folder: MakeFolder) -> Callable[..., Encoder]:
    """``fresh_encoder(kind)``: a random encoder that tests may hook or change. It is a copy of one
    that is loaded once: to load it again takes six times as long."""
    loaded: dict[str, Encoder] = {}

    def make(kind: str = "bert") -> Encoder:
        if kind not in loaded:
            loaded[kind] = load_encoder(str(tiny_encoder_folder(kind)))
        return deepcopy(loaded[kind])

    return make


@pytest.fixture
def tiny_encoder(fresh_encoder: Callable[..., Encoder]) -> Encoder:
    """A fresh tiny BERT: tests may hook or change it."""
    return fresh_encoder("bert")


def _random_adapter(
    encoder: Encoder,
    k: int = 2,
    rank: int = 4,
    alpha: float = 8.0,
    targets: Sequence[str] = TARGETS,
    seed: int = 0,
    rslora: bool = False,
) -> LoraAdapter:
    fresh = LoraAdapter.fresh(encoder, k, rank, alpha, list(targets), seed=seed, rslora=rslora)
    generator = torch.Generator().manual_seed(1000 + seed)
    matrices = {
        place: (a, 0.1 * torch.randn(b.shape, generator=generator))
        for place, (a, b) in fresh.matrices.items()
    }
    return LoraAdapter(rank, alpha, matrices, rslora)


@pytest.fixture(scope="session")
def random_adapter() -> Callable[..., LoraAdapter]:
    """``random_adapter(encoder, k=…, rank=…, …, seed=…)``: an adapter that changes something."""
    return _random_adapter


@pytest.fixture(scope="session")
def random_batch() -> Callable[..., tuple[Tensor, Tensor]]:
    """``random_batch(encoder, lengths, seed)``: ids and mask of random texts of these lengths."""

    def make(encoder: Encoder, lengths: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        rows = [
            torch.randint(len(SPECIAL), len(VOCABULARY), (length,), generator=generator).tolist()
            for length in lengths
        ]
        return pad(rows, encoder.tokenizer.pad_token_id)

    return make


@pytest.fixture
def tiny_backbone(tiny_encoder: Encoder) -> Backbone:
    """A tiny BERT with k = 2 and primary LoRAs for both families, none of them zero."""
    tiny_encoder.freeze()
    primary = {
        family: _random_adapter(tiny_encoder, k=2, rank=4, seed=seed)
        for seed, family in enumerate(("ner", "tc"), start=7)
    }
    return Backbone(tiny_encoder, 2, primary)


@pytest.fixture(scope="session")
def script() -> Iterator[Callable[[str], Any]]:
    """``script(name)``: a module of ``benchmarks/``."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture(scope="session")
def change_record() -> Callable[..., None]:
    """``change_record(folder, **values)`` changes values of an app's ``app.json``, whose seal it
    breaks: as if the app were of a time before seals."""

    def change(folder: Path, **values: Any) -> None:
        path = folder / "app.json"
        record = json.loads(path.read_text())
        kept = {key: value for key, value in record.items() if key not in ("seal", "files")}
        path.write_text(json.dumps(kept | values))

    return change


@pytest.fixture
def together() -> Callable[..., list[Any]]:
    """``together(world, work)``: what ``work(processes)`` gives in each of ``world`` processes.

    They are forks of this one, so that nothing is imported twice and ``work`` may be a closure.
    """
    importlib.import_module("accelerate")  # what each would import

    def run(world: int, work: Callable[[Processes], Any]) -> list[Any]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def member(rank: int, answers: Any) -> None:
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            os.environ |= {name: str(value) for name, value in place.items()}
            os.environ["MASTER_ADDR"] = "127.0.0.1"
            os.environ["OMP_NUM_THREADS"] = "1"  # more would wait for threads that a fork loses
            try:
                processes = Processes.join()
                torch.set_num_threads(1)
                answers.send((True, work(processes)))
            except BaseException:
                answers.send((False, traceback.format_exc()))

        fork = multiprocessing.get_context("fork")
        pipes = [fork.Pipe(duplex=False) for _ in range(world)]
        members = [fork.Process(target=member, args=(i, pipes[i][1])) for i in range(world)]
        try:
            for process in members:
                process.start()
            assert all(answers.poll(60) for answers, _ in pipes), "a process hangs"
            found = [answers.recv() for answers, _ in pipes]
        finally:
            for process in members:
                process.kill()
                process.join()
        for whole, answer in found:
            assert whole, answer
        return [answer for _, answer in found]

    return run


_CHANGES = {
    "open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate",
    "shutil.rmtree", "ctypes.dlopen",
}  # fmt: skip
"""Python's audit events, raised before the step is done. (The C library exchanges folders.)"""


def _is_change(event: str, arguments: tuple[Any, ...]) -> bool:
    """Not to open a file to read it, and not to make a folder that is there."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in _CHANGES and not (event == "os.mkdir" and os.path.isdir(arguments[0]))


def _run_until(step: int, work: Callable[[], object]) -> None:
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if _is_change(event, arguments):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    try:
        sys.addaudithook(count)
        work()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.fixture(scope="session")
def killed_before_each_step() -> Callable[[Callable[[], object]], Iterator[int]]:
    """``killed_before_each_step(work)``: run ``work`` in a process that is killed before its first
    change of a file; again, killed before its second one; and so on until it ends. Yields after
    each."""

    def run(work: Callable[[], object]) -> Iterator[int]:
        step, ended = 0, False
        while not ended:
            child = os.fork()
            if not child:
                _run_until(step, work)
            status = os.waitpid(child, 0)[1]
            assert status in (0, signal.SIGKILL), status
            ended = status == 0
            yield step
            step += 1

    return run


@pytest.fixture(scope="session")
def answering() -> Callable[[Any], AbstractContextManager[str]]:
    """``with answering(app) as url``: a service of ``onetrunk.serving``, in a thread."""

    @contextmanager
    def answer(app: Any) -> Iterator[str]:
        from onetrunk.serving.server import bind, server_of

        listening, server = bind("127.0.0.1", 0), server_of(app)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield "http://127.0.0.1:{1}".format(*listening.getsockname())
        finally:
            server.should_exit = True
            thread.join()

    return answer


NAMES, PLACES, VERBS = ["ann", "bob", "cid", "dora"], ["paris", "york", "new york"], ["met", "call"]


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A folder of small data sets of every kind: ``pre_ner/{a,b}``, ``pre_pairs/{c,d}`` and
    ``ner/app``, ``tc/app`` with train, validation and test."""
    rng = random.Random(0)

    def sentence(types: tuple[str, str]) -> tuple[list[str], list[str]]:
        place = rng.choice(PLACES).split()
        words = [rng.choice(NAMES), rng.choice(VERBS), "mum", "in", *place]
        inside = [f"B-{types[1]}", f"I-{types[1]}"][: len(place)]
        return words, [f"B-{types[0]}", "O", "O", "O", *inside]

    def write(name: str, split: str, columns: dict[str, list[Any]]) -> None:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")

    def ner(name: str, split: str, rows: int, types: tuple[str, str]) -> None:
        made = [sentence(types) for _ in range(rows)]
        write(name, split, {"tokens": [m[0] for m in made], "ner_tags": [m[1] for m in made]})

    ner("pre_ner/a", "train", 40, ("PER", "LOC"))
    ner("pre_ner/b", "train", 20, ("contact.name", "geo"))
    for name in "cd":
        numbers = [f"{name}{i}" for i in range(30)]
        write(
            f"pre_pairs/{name}",
            "train",
            {"query": [f"call {n}" for n in numbers], "positive": [f"met {n}" for n in numbers]},
        )
    for split, rows in (("train", 24), ("validation", 12), ("test", 12)):
        ner("ner/app", split, rows, ("who", "where"))
        texts = [f"{rng.choice(['play', 'call'])} {rng.choice(NAMES)}" for _ in range(rows)]
        write("tc/app", split, {"text": texts, "label": [text.split()[0] for text in texts]})
    return tmp_path
