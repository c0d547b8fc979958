"""One way to train an app, for ``time_to_score.py``: seconds of each try, and the app's answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SETFIT_PAIRS = 4_000
"""SetFit's pairs grow with the square of the rows: so many at most are trained on."""


def onetrunk(job: dict[str, Any], backbone: Any, family: Any, data: Any) -> Iterator[Any]:
    """The head alone, then an app with a LoRA for each number of epochs."""
    from onetrunk.adaptation.fit import fit
    from onetrunk.adaptation.settings import AdaptSettings
    from onetrunk.apps.engine import Engine

    tries = [("linear", None), *(("lora", epochs) for epochs in job["epochs"])]
    for adapter, epochs in tries:
        settings = AdaptSettings(adapter=adapter, epochs=epochs, k=job["k"])
        start = time.perf_counter()
        app = fit(backbone, family, data, settings)
        seconds = time.perf_counter() - start
        engine = Engine(backbone, {"app": app})
        name = adapter if epochs is None else f"{adapter}, {epochs} epochs"
        yield name, seconds, lambda rows, e=engine: e.predict_examples("app", rows)


def peft(job: dict[str, Any], backbone: Any, family: Any, data: Any) -> Iterator[Any]:
    """A LoRA and a head by PEFT and Hugging Face's Trainer, for each number of epochs."""
    from onetrunk.apps.app import App
    from onetrunk.apps.engine import Engine
    from onetrunk.model.lora import NONE
    from onetrunk.model.peft_format import load_peft
    from peers.adapting import SETTINGS, train

    for epochs in job["epochs"]:
        with tempfile.TemporaryDirectory() as folder:
            backbone.encoder.model.save_pretrained(f"{folder}/encoder")
            start = time.perf_counter()
            head = train(Path(folder), backbone, family, data, {**job, "epochs": epochs})
            seconds = time.perf_counter() - start
            adapter = load_peft(Path(folder), backbone.encoder)
        fingerprint, length = backbone.fingerprint, SETTINGS.max_length
        app = App(family, data.labels, head, adapter, NONE, length, fingerprint)
        engine = Engine(backbone, {"app": app})
        yield (
            f"lora, {epochs} epochs",
            seconds,
            lambda rows, e=engine: e.predict_examples("app", rows),
        )


def setfit(job: dict[str, Any], backbone: Any, family: Any, data: Any) -> Iterator[Any]:
    """SetFit, for each number of pairs."""
    from peers import contrastive

    for iterations in job["iterations"]:
        if 2 * iterations * len(data.train) > SETFIT_PAIRS:
            continue
        model = contrastive.load(job["encoder"])
        seconds = contrastive.train(model, data.train, iterations)
        name = f"{iterations} pairs a row and kind"
        yield name, seconds, lambda rows, m=model: contrastive.predict(m, rows)


def spacy(job: dict[str, Any], backbone: Any, family: Any, data: Any) -> Iterator[Any]:
    """spaCy's small NER pipeline (a convolutional network, from the start): after each number of
    epochs of one training. Entities that its words cannot hold are left out, as it does."""
    import random

    import spacy as library
    from spacy.training import Example
    from spacy.util import compounding, fix_random_seed, minibatch

    from onetrunk.decoding import Entities

    fix_random_seed(0)
    start = time.perf_counter()
    nlp = library.blank("en")
    nlp.add_pipe("ner")
    examples = []
    for row in data.train:
        doc = nlp.make_doc(row.text)
        spans = [doc.char_span(first, stop, label=kind) for first, stop, kind in row.entities]
        reference = doc.copy()
        reference.set_ents([span for span in spans if span is not None])
        examples.append(Example(doc, reference))
    optimizer = nlp.initialize(lambda: examples)
    order, sizes = random.Random(0), compounding(16.0, 128.0, 1.001)
    scoring = 0.0
    for epoch in range(1, max(job["epochs"]) + 1):
        order.shuffle(examples)
        for batch in minibatch(examples, size=sizes):
            nlp.update(batch, drop=0.1, sgd=optimizer)
        if epoch in job["epochs"]:
            seconds = time.perf_counter() - start - scoring
            before = time.perf_counter()

            def predictions(rows: Sequence[Any]) -> list[Any]:
                docs = nlp.pipe(row.text for row in rows)
                found = [[(e.start_char, e.end_char, e.label_) for e in d.ents] for d in docs]
                return [Entities(spans, [1.0] * len(spans)) for spans in found]

            yield f"{epoch} epochs", seconds, predictions
            scoring += time.perf_counter() - before


WAYS = {"onetrunk": onetrunk, "peft": peft, "setfit": setfit, "spacy": spacy}
