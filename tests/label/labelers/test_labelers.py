import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from onetrunk.errors import UserError
from onetrunk.label.base import Answer, Entity
from onetrunk.label.labelers import open_labeler, spacy_pipeline
from onetrunk.label.labelers.gliner_model import GlinerLabeler
from onetrunk.label.labelers.lists import GazetteerLabeler, RegexLabeler
from onetrunk.label.labelers.pieces import IN_PIECES
from onetrunk.label.labelers.spacy_pipeline import SpacyLabeler

PATTERNS = [
    {"label": "CITY", "pattern": "New York"},
    {"label": "WHO", "pattern": [{"LOWER": "ann"}]},
]


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns(PATTERNS)
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def entities_of(labeler, *texts):
    return [
        [(t[a:b], kind) for a, b, kind in answer.entities]
        for t, answer in zip(texts, labeler.label(texts), strict=True)
    ]


def write(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_spacy_gives_its_entities_with_its_types(pipeline):
    texts = ["Ann saw New York.", "", "😀 e\u0301 ANN"]
    labeler = SpacyLabeler(str(pipeline))
    assert entities_of(labeler, *texts) == [
        [("Ann", "WHO"), ("New York", "CITY")],
        [],
        [("ANN", "WHO")],
    ]


def test_spacy_reads_long_texts_in_pieces(pipeline, monkeypatch):
    monkeypatch.setattr(spacy_pipeline, "PIECE_WORDS", 4)
    text = "Ann saw it. New York saw Ann."
    (answer,) = SpacyLabeler(str(pipeline)).label([text])
    assert [(text[a:b]) for a, b, _ in answer.entities] == ["Ann", "New York", "Ann"]
    assert answer.counts == {IN_PIECES: 1}


def test_spacy_reads_a_word_longer_than_its_own_limit(pipeline):
    text = "x" * 1_000_001 + " Ann"
    (answer,) = SpacyLabeler(str(pipeline)).label([text])
    assert [text[a:b] for a, b, _ in answer.entities] == ["Ann"]


def test_spacy_runs_only_what_the_entities_depend_on():
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    for pipe in ("tok2vec", "tagger", "parser", "ner"):
        nlp.add_pipe(pipe)
    assert spacy_pipeline._unused(nlp) == ["tok2vec", "tagger", "parser"]
    listens = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
    shared = spacy.blank("en")
    shared.add_pipe("tok2vec")
    shared.add_pipe("tagger")
    architecture = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 8,
        "maxout_pieces": 2,
        "use_upper": True,
        "tok2vec": listens,
    }
    shared.add_pipe("ner", config={"model": architecture})
    assert spacy_pipeline._unused(shared) == ["tagger"]
    shared.add_pipe("entity_ruler")
    assert spacy_pipeline._unused(shared) == []


def test_the_fingerprint_of_spacy_follows_its_files(pipeline):
    before = SpacyLabeler(str(pipeline)).fingerprint
    assert SpacyLabeler(str(pipeline)).fingerprint == before
    import spacy

    nlp = spacy.load(pipeline)
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "X", "pattern": "y"}])
    nlp.to_disk(pipeline)
    assert SpacyLabeler(str(pipeline)).fingerprint != before


def test_spacy_errors_name_the_pipeline(tmp_path):
    spacy = pytest.importorskip("spacy")
    with pytest.raises(UserError, match="no spaCy pipeline 'en_core_web_zz'"):
        SpacyLabeler("en_core_web_zz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a spaCy pipeline"):
        SpacyLabeler(str(tmp_path / "empty"))
    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(UserError, match="finds no entities"):
        SpacyLabeler(str(tmp_path / "blank"))


def test_a_gazetteer_ignores_case_and_takes_the_longest_name(tmp_path):
    path = write(tmp_path / "g.csv", "name,type\nNew York,city\nYork,city\nAnn, person \n")
    texts = ["in NEW  YORK with ann", "Annabel, York"]
    assert entities_of(GazetteerLabeler(path), *texts) == [
        [("NEW  YORK", "city"), ("ann", "person")],
        [("York", "city")],
    ]
    assert entities_of(GazetteerLabeler(path, match_case=True), texts[0]) == [[]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,type\nParis,city\nparis,person\n", r"g.csv:3: 'paris' is 'person' here and 'city'"),
        ("name,type\n ,city\n", r"g.csv:2: 'name' is blank"),
        ("name,type\n\u200b,city\n", r"g.csv:2: the name .* has no visible character"),
        ("name,kind\nParis,city\n", r"no column 'type'"),
    ],
)
def test_a_gazetteer_says_what_is_wrong_with_it(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        GazetteerLabeler(write(tmp_path / "g.csv", content))


def test_regular_expressions_take_the_longest_match(tmp_path):
    path = write(tmp_path / "r.tsv", "pattern\ttype\n\\d+\tnumber\n\\d+ ?kg\tweight\nx*\tnone\n")
    assert entities_of(RegexLabeler(path), "3 or 10 kg") == [[("3", "number"), ("10 kg", "weight")]]


def test_a_bad_pattern_is_named_and_an_endless_one_fails_its_text_only(tmp_path):
    with pytest.raises(UserError, match=r"r.csv:3: pattern '\(': missing"):
        RegexLabeler(write(tmp_path / "r.csv", "pattern,type\na,b\n(,c\n"))
    path = write(tmp_path / "slow.jsonl", '{"pattern": "(a|aa)+$", "type": "x"}\n')
    slow, quick = RegexLabeler(path, timeout=0.05).label(["a" * 60 + "!", "aa"])
    assert "took longer than 0.05 s" in slow.error
    assert quick == Answer((Entity(0, 2, "x"),))


@pytest.fixture
def stand_in(monkeypatch):
    """A module with the parts of gliner's interface that are used."""

    class GLiNER:
        config = SimpleNamespace(max_len=4)

        @classmethod
        def from_pretrained(cls, name):
            if name == "broken":
                raise OSError("no such\nmodel")
            model = cls()
            model.data_processor = SimpleNamespace(words_splitter=model.split)
            return model

        @staticmethod
        def split(text):
            at = 0
            for word in text.split():
                at = text.index(word, at)
                yield word, at, at + len(word)
                at += len(word)

        def inference(self, texts, labels, threshold, batch_size):
            assert all(len(text.split()) <= self.config.max_len for text in texts)
            return [
                [
                    {"start": a, "end": b, "text": word, "label": labels[0], "score": 0.9}
                    for word, a, b in self.split(text)
                    if word[0].isupper()
                ]
                for text in texts
            ]

    module = ModuleType("gliner")
    module.GLiNER = GLiNER
    monkeypatch.setitem(sys.modules, "gliner", module)


def test_gliner_is_asked_for_its_types_in_pieces_it_can_read(stand_in):
    labeler = GlinerLabeler("model", ["person", "place"], 0.5)
    long = "Ann and Bob went. Then Cid did too"
    assert entities_of(labeler, "", long) == [
        [],
        [(n, "person") for n in ("Ann", "Bob", "Then", "Cid")],
    ]
    assert "person, place" in labeler.fingerprint
    assert labeler.fingerprint != GlinerLabeler("model", ["person"], 0.5).fingerprint
    with pytest.raises(UserError, match="'broken' cannot be loaded: no such model"):
        GlinerLabeler("broken", ["person"])


def test_a_real_gliner_model_reads_texts_longer_than_it_takes(tiny_encoder_folder, tmp_path):
    gliner = pytest.importorskip("gliner")
    config = gliner.GLiNERConfig(
        model_name=str(tiny_encoder_folder("bert")),
        hidden_size=32,
        max_len=10,
        max_width=3,
        has_rnn=False,
    )
    gliner.GLiNER.from_config(config).save_pretrained(tmp_path / "model")
    texts = ["ann met bob in paris. " * 6, "", "call mum"]
    answers = list(GlinerLabeler(str(tmp_path / "model"), ["person"], 0.0).label(texts))
    for text, answer in zip(texts, answers, strict=True):
        ends = [0, *(end for _, end, _ in answer.entities)]
        starts = [*(start for start, _, _ in answer.entities), len(text)]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))
    assert answers[0].counts == {IN_PIECES: 1}
    assert answers[0].entities[-1].start > len(texts[0]) / 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("spcy:x", r"unknown labeler 'spcy:x'; did you mean 'spacy'\?"),
        ("gazetteer", "names nothing; write gazetteer:FILE"),
        ("gliner:x", "--types"),
        ("chat:x", "--endpoint"),
        ("regex:none.csv", "no such file"),
    ],
)
def test_what_a_labeler_needs_is_asked_for(tmp_path, spec, message):
    with pytest.raises(UserError, match=message):
        open_labeler(spec, cache=tmp_path / "cache")
