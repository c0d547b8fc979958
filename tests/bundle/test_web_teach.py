"""Apps taught by the JavaScript runtime against those of ``adapt``. Needs node, and ``npm install``
in ``web/``."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from safetensors.numpy import load_file

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.penalty import held_out_folds
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.new_labels import check_beside_new
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.losses import head as losses
from onetrunk.model.backbone import Backbone

WEB = Path(__file__).parents[2] / "web"
pytestmark = [
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
    pytest.mark.skipif(
        not (WEB / "node_modules" / "onnxruntime-web").exists(), reason="no npm install in web/"
    ),
]
GROUND = """
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as ort from "onnxruntime-web";
import { BundleError, Runtime } from "./src/index.js";

ort.env.wasm.numThreads = 1;
const [folder, out] = process.argv.slice(1);
const open = (apps = []) => Runtime.open((path) => readFile(join(folder, path)), { ort, apps });
const why = async (work) => {
  try {
    await work();
  } catch (error) {
    if (error instanceof BundleError) return error.message;
    throw error;
  }
};
const say = (value) => console.log(JSON.stringify(value));
const given = JSON.parse(await text(process.stdin));
"""
LENGTH = 24
LINE = "ann bob met call play music in paris york new river bank 12:30 日本 😀 the a is to mum"
WORDS = LINE.split()
PLACES = {"paris", "york", "日本", "river", "bank"}


def node(script: str, given: Any, *folders: Path) -> Any:
    """What a script says about what it is given."""
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", GROUND + script, *map(str, folders)],
        cwd=WEB,
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def rows(family: str, count: int = 40, seed: int = 0) -> list[Any]:
    """Texts of known words, a few of them longer than a window, with the answers of a simple rule,
    of which some are wrong."""
    rng = np.random.default_rng(seed)
    made: list[Any] = []
    for number in range(count):
        words = [str(w) for w in rng.choice(WORDS, 45 if number % 9 == 0 else rng.integers(3, 9))]
        text, wrong = " ".join(words), rng.random() < 0.2
        if FAMILIES[family].per_word:
            entities, start = [], 0
            for word in words:
                if word in PLACES and rng.random() < 0.9:
                    entities.append((start, start + len(word), "loc"))
                    if family == "nested-ner" and word in ("river", "bank"):
                        entities.append((start, start + len(word), "water"))
                elif word in ("ann", "bob", "😀"):
                    entities.append((start, start + len(word), "per"))
                start += len(word) + 1
            made.append(AnnotatedText(text, tuple(entities)))
        elif family == "tc":
            topic = "place" if set(words) & PLACES else "music" if "play" in words else "other"
            made.append(
                LabelledText(text, (str(rng.choice(["place", "other"])) if wrong else topic,))
            )
        elif family == "multi-label":
            labels = [label for label in ("paris", "music", "ann") if label in words]
            made.append(LabelledText(text, tuple(labels)))
        else:
            value = 1 + 4 * sum(word in PLACES for word in words) / len(words) + wrong
            made.append(LabelledText(text, (repr(round(float(value), 2)),)))
    return made


def utf16(text: str, at: int) -> int:
    return len(text[:at].encode("utf-16-le")) // 2


def examples(family: str, made: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as JavaScript takes them."""
    if FAMILIES[family].per_word:
        return [
            {
                "text": row.text,
                "entities": [
                    {"start": utf16(row.text, start), "end": utf16(row.text, end), "type": kind}
                    for start, end, kind in row.entities
                ],
            }
            for row in made
        ]
    if family == "multi-label":
        return [{"text": row.text, "labels": list(row.labels)} for row in made]
    if family == "rating":
        return [{"text": row.text, "label": float(row.labels[0])} for row in made]
    return [{"text": row.text, "label": row.labels[0]} for row in made]


def fitted(backbone: Backbone, family: str, made: Sequence[Any], **options: Any) -> App:
    kind = FAMILIES[family]
    settings = AdaptSettings(adapter="linear", max_length=LENGTH, precision="fp32", **options)
    return fit(backbone, kind, Data(kind.label_set(made), list(made)), settings)


@pytest.mark.parametrize("family", ["ner", "nested-ner", "tc", "multi-label", "rating"])
def test_a_taught_app_is_that_of_adapt(
    family: str, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    """The same weights, penalty and states; and its file answers in Python as in the browser."""
    made, unseen = rows(family), [row.text for row in rows(family, 30, seed=1)]
    wanted = fitted(tiny_backbone, family, made)
    export_bundle(tiny_backbone, {}, tmp_path / "b", "fp32")
    script = f"""
    const runtime = await open();
    const options = {{ maxLength: {LENGTH} }};
    const report = await runtime.teach("mine", "{family}", given.examples, options);
    await writeFile(out, await runtime.saveApp("mine"));
    say([report, await runtime.predict(given.texts)]);
    """
    file = tmp_path / "mine.safetensors"
    given = {"examples": examples(family, made), "texts": unseen}
    report, answers = node(script, given, tmp_path / "b", file)
    app = BundledApp.from_bytes("mine", file.read_bytes(), "mine")
    assert report["penalty"] == wanted.record["l2"]
    assert report["rows"] == len(made)
    assert (app.family, app.labels, app.head_layers) == (family, wanted.labels, wanted.head_layers)
    assert (app.max_length, app.units) == (LENGTH, wanted.units)
    assert app.family_of_primary == wanted.family_of_primary
    # adapt solves in float32; what float64 adds is the next test's.
    np.testing.assert_allclose(app.weight, wanted.head.weight.numpy(), atol=1e-4, rtol=1e-3)
    runtime = Runtime(tmp_path / "b", threads=1)
    runtime.add(app)
    for text, answer, python in zip(unseen, answers, runtime.predict(unseen), strict=True):
        of_python = python["apps"]["mine"]
        for entity in of_python.get("entities", []):
            entity["start"], entity["end"] = (utf16(text, entity[e]) for e in ("start", "end"))
        assert alike(answer["apps"]["mine"], of_python), text


def alike(one: Any, other: Any) -> bool:
    """Equal but for small differences of numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other or (isinstance(one, float | int) and abs(one - other) < 1e-3))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("family", ["ner", "nested-ner", "tc", "multi-label", "rating"])
def test_reports_are_those_of_the_device(
    family: str, precision: str, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    """Of ``Runtime.teach``: the cross-validated score, what the old app scored, the penalty; and
    the numbers in the file, which are of 16 bits in a smaller bundle."""
    export_bundle(tiny_backbone, {}, tmp_path / "b", precision)
    first, second = rows(family, 12, seed=3), rows(family)
    script = f"""
    const runtime = await open();
    const options = {{ maxLength: {LENGTH}, labels: given.labels }};
    await runtime.teach("mine", "{family}", given.first, options);
    say(await runtime.teach("mine", "{family}", given.second, options));
    await writeFile(out, await runtime.saveApp("mine"));
    """
    labels = ["0", "7"] if family == "rating" else ["music", "loc", "zoo"]
    given = {
        "first": examples(family, first), "second": examples(family, second), "labels": labels,
    }  # fmt: skip
    file = tmp_path / "mine.safetensors"
    report = node(script, given, tmp_path / "b", file)
    runtime: Any = Runtime(tmp_path / "b")
    runtime.teach("mine", family, as_records(first), labels, max_length=LENGTH)
    score = runtime.teach("mine", family, as_records(second), labels, max_length=LENGTH)
    assert report["metric"] == score.metric
    assert report["score"] == pytest.approx(score.value, abs=0.5)
    # In eight bits a sum that differs in its last digit can be rounded to another step: that may
    # change one of some 150 units.
    assert report["before"] == pytest.approx(score.before, abs=0.5 if precision == "fp32" else 0.66)
    assert [report[key] for key in ("rows", "judged", "penalty", "headLayers")] == [
        score.rows, score.judged, score.penalty, score.head_layers,
    ]  # fmt: skip
    app, python = BundledApp.from_bytes("mine", file.read_bytes(), "mine"), runtime.app("mine")
    assert app.labels == python.labels
    gap = 2e-3 if precision == "fp32" else 0.05
    np.testing.assert_allclose(app.weight, python.weight, atol=gap, rtol=gap)
    assert f'"{"F32" if precision == "fp32" else "F16"}"'.encode() in file.read_bytes()


@pytest.mark.parametrize("family", ["ner", "nested-ner", "tc", "multi-label", "rating"])
def test_going_on_from_an_app_is_that_of_the_device(
    family: str, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    old = fitted(tiny_backbone, family, rows(family))
    export_bundle(tiny_backbone, {"old": old}, tmp_path / "b", "fp32")
    made = rows(family, 8, seed=5)
    if family == "rating":  # of the old app's scale
        made = [replace(row, labels=("2.0",)) for row in made]
    stay = [row.text for row in rows(family, 6, seed=6)]
    script = f"""
    const runtime = await open(["old"]);
    const options = {{ from: "old", stay: given.stay }};
    say(await runtime.teach("mine", "{family}", given.examples, options));
    await writeFile(out, await runtime.saveApp("mine"));
    """
    file = tmp_path / "mine.safetensors"
    given = {"examples": examples(family, made), "stay": stay}
    report = node(script, given, tmp_path / "b", file)
    runtime: Any = Runtime(tmp_path / "b")
    score = runtime.teach("mine", family, as_records(made), start="old", stay=stay)
    assert [report[key] for key in ("rows", "judged", "penalty", "headLayers")] == [
        score.rows, score.judged, score.penalty, score.head_layers,
    ]  # fmt: skip
    assert report["score"] == pytest.approx(score.value, abs=0.5)
    app, python = BundledApp.from_bytes("mine", file.read_bytes(), "mine"), runtime.app("mine")
    assert app.labels == python.labels
    np.testing.assert_allclose(app.weight, python.weight, atol=2e-3, rtol=2e-3)
    np.testing.assert_allclose(app.bias, python.bias, atol=2e-3, rtol=2e-3)


def as_records(made: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as Python takes them."""
    if isinstance(made[0], AnnotatedText):
        return [{"text": row.text, "spans": [list(e) for e in row.entities]} for row in made]
    key = "labels" if any(len(row.labels) != 1 for row in made) else "label"
    return [
        {"text": row.text, key: list(row.labels) if key == "labels" else row.labels[0]}
        for row in made
    ]


def test_numbers_of_16_bits_are_those_of_numpy_and_larger_ones_have_32(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = np.concatenate(
        [rng.normal(size=200), rng.normal(size=50) * 1e-6, rng.uniform(-65519, 65519, 50),
         [0, -0.0, 65519, 2**-24, 2**-25, 1 + 2**-11, 1 + 3 * 2**-11]]
    ).astype(np.float32)  # fmt: skip
    large = np.array([1.5, 65520, -71807.3], np.float32)
    script = """
    const { readSafetensors, writeSafetensors } = await import("./src/safetensors.js");
    const tensor = (data) => ({ shape: [data.length], data: Float32Array.from(data) });
    const tensors = new Map([["x", tensor(given[0])], ["large", tensor(given[1])]]);
    const bytes = writeSafetensors(tensors, { onetrunk: "{}" }, true);
    await writeFile(out, bytes);
    say([...readSafetensors(bytes, "x").tensors.get("large").data]);
    """
    given = [numbers.tolist(), large.tolist()]
    assert node(script, given, tmp_path, tmp_path / "x.safetensors") == large.tolist()
    written = load_file(tmp_path / "x.safetensors")
    assert {name: str(array.dtype) for name, array in written.items()} == {
        "x": "float16", "large": "float32",
    }  # fmt: skip
    np.testing.assert_array_equal(written["x"], numbers.astype(np.float16))
    np.testing.assert_array_equal(written["large"], large)


WITHOUT_KERNEL = "delete globalThis.WebAssembly;"
"""React Native has none; products are then made in JavaScript."""


def test_the_kernel_makes_the_products_of_numpy() -> None:
    """Of any size: what is left over of four rows, three columns, two numbers; of a matrix that
    stayed in memory; of one that takes its place; in float64 and in float32."""
    rng = np.random.default_rng(0)
    sizes = [(1, 1, 1), (2, 3, 5), (3, 4, 2), (13, 5, 7), (30, 17, 41)]
    given = [
        {
            "units": units,
            "classes": classes,
            "width": width,
            "x": rng.normal(size=(units, width)),
            "weights": rng.normal(size=(2, classes, width + 1)),
            "shares": rng.normal(size=(units, classes)),
            "steps": rng.normal(size=(12, width)),
        }
        for units, classes, width in sizes
    ]
    script = """
    const { Features, gram } = await import("./src/features.js");
    const { symmetricEigen } = await import("./src/eigen.js");
    const { History } = await import("./src/descent.js");
    const { kernel } = await import("./src/kernel.js");
    const answers = given.map(({ units, classes, width, x, weights, shares, steps }) => {
      const features = new Features(Float64Array.from(x), units, width);
      const products = weights.map((w) => features.times(Float64Array.from(w), classes, width + 1));
      const sums = features.sums(Float64Array.from(shares), classes);
      const own = gram(features);
      const { values, vectors } = symmetricEigen(own.slice(), units);
      const again = features.times(Float64Array.from(weights[0]), classes, width + 1);
      const histories = [new History(5), kernel()?.history(5, width) ?? new History(5)];
      const directions = steps.map((step) => histories.map((history) => {
        const gradient = Float64Array.from(step);
        const direction = history.timesInverseHessian(gradient);
        history.push(gradient, gradient.map((value, i) => value * (1 + i)));
        return [...direction];
      }));
      const last = features.times(Float64Array.from(weights[1]), classes, width + 1);
      const singles = features.inSingles();
      const rough = [
        singles.times(Float64Array.from(weights[0]), classes, width + 1),
        singles.sums(Float64Array.from(shares), classes),
      ].map((one) => [...one]);
      return [...products, again, last, sums, own, values, vectors].map((one) => [...one])
        .concat([directions, rough]);
    });
    say([kernel() !== undefined, answers]);
    """
    as_lists = [
        {name: value.ravel().tolist() if name in ("x", "shares") else value for name, value in
         of_case.items()} for of_case in given
    ]  # fmt: skip
    for of_case in as_lists:
        of_case["weights"] = [weights.ravel().tolist() for weights in of_case["weights"]]
        of_case["steps"] = of_case["steps"].tolist()
    for has_kernel, before in ((True, ""), (False, WITHOUT_KERNEL)):
        said, answers = node(before + script, as_lists)
        assert said == has_kernel
        for of_case, answer in zip(given, answers, strict=True):
            x, units = of_case["x"], of_case["units"]
            first, second = (x @ w[:, :-1].T + w[:, -1] for w in of_case["weights"])
            wanted = [first, second, first, second, of_case["shares"].T @ x, x @ x.T / units]
            for one, of_numpy in zip(answer, wanted, strict=False):
                np.testing.assert_allclose(one, of_numpy.ravel(), atol=1e-12)
            values, flat, directions, (product, total) = answer[6:]
            np.testing.assert_allclose(product, first.ravel(), atol=2e-5)
            np.testing.assert_allclose(total, wanted[4].ravel(), atol=2e-5)
            vectors = np.reshape(flat, (units, units))
            np.testing.assert_allclose(vectors @ vectors.T, np.eye(units), atol=1e-12)
            turned = vectors.T @ np.diag(values) @ vectors
            np.testing.assert_allclose(turned, x @ x.T / units, atol=1e-12)
            for in_javascript, in_kernel in directions:
                np.testing.assert_allclose(in_kernel, in_javascript, rtol=1e-9, atol=1e-12)


def test_the_kernel_is_compiled_from_its_source() -> None:
    files = [WEB / "kernel" / name for name in ("products.c", "products.h")]
    source = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    assert source in (WEB / "src" / "kernel-code.js").read_text(), "run npm run kernel in web/"


@pytest.mark.parametrize("before", ["", WITHOUT_KERNEL], ids=["kernel", "javascript"])
@pytest.mark.parametrize("shape", [(12, 40), (60, 20)])
@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("cross_entropy", 4),
        ("cross_entropy_of_tags", 6),
        ("binary_cross_entropy", 3),
        ("squared_error", 1),
    ],
)
def test_the_solver_is_that_of_python(
    name: str, classes: int, shape: tuple[int, int], before: str
) -> None:
    """In float64: fewer and more units than features, correlated features, rare classes."""
    rng = np.random.default_rng(0)
    units, width = shape
    features = rng.normal(size=(units, 5)) @ rng.normal(size=(5, width)) + 2
    features += 0.3 * rng.normal(size=shape)
    targets = {
        "cross_entropy": np.where(rng.random(units) < 0.7, 0, rng.integers(0, 3, units)),
        "cross_entropy_of_tags": rng.integers(0, 3, (units, 2)),
        "binary_cross_entropy": rng.integers(0, 2, (units, 3)).astype(float),
        "squared_error": rng.random((units, 1)),
    }[name]
    camel = "".join(part.title() if i else part for i, part in enumerate(name.split("_")))
    kind = "Float64Array" if targets.dtype.kind == "f" else "Int32Array"
    script = f"""
    const {{ Features }} = await import("./src/features.js");
    const {{ Problem, logitsOf }} = await import("./src/linear.js");
    const {{ {camel}: kind }} = await import("./src/losses.js");
    const features = new Features(Float64Array.from(given.features), {units}, {width});
    const targets = {kind}.from(given.targets);
    const problem = new Problem(features, targets, {classes}, kind);
    const heads = [1, 0.03].map((l2) => problem.solve(l2, 1e-14));
    const anew = new Problem(features, targets, {classes}, kind, heads[0]).solve(0.03, 1e-14);
    const gap = (head) => {{
      const lists = [head, anew].map((one) => [...logitsOf(one, features, {classes})]);
      return lists[0].reduce((most, logit, i) => Math.max(most, Math.abs(logit - lists[1][i])), 0);
    }};
    say([heads.map(({{ weight, bias }}) => [[...weight], [...bias]]), heads.map(gap)]);
    """
    given = {"features": features.ravel().tolist(), "targets": targets.ravel().tolist()}
    heads, gaps = node(before + script, given)
    loss = getattr(losses, name)
    for (weight, bias), l2 in zip(heads, (1, 0.03), strict=True):
        wanted = solve_linear(features, targets, classes, l2, loss, 1e-14)
        np.testing.assert_allclose(np.reshape(weight, (classes, width)), wanted.weight, atol=2e-6)
        ours, theirs = (
            logits - logits[:, :1] if name == "cross_entropy" else logits
            for logits in (features @ np.reshape(weight, (classes, -1)).T + bias, wanted(features))
        )
        if name == "cross_entropy_of_tags":
            ours, theirs = (x.reshape(-1, 3) - x.reshape(-1, 3)[:, :1] for x in (ours, theirs))
        # A class without units is as improbable as its bias can say.
        seen = [c for c in range(ours.shape[1]) if name != "cross_entropy" or c in targets]
        np.testing.assert_allclose(ours[:, seen], theirs[:, seen], atol=2e-4)
    # A head that starts from another is between that one and the one that starts from zero.
    assert max(gaps) > 1e-3


def test_rows_are_held_out_as_in_python() -> None:
    cases = [([0, 0, 1, 2, 2, 3], 2), ([*range(101)], 3), ([5, 5], 2), ([*range(5000)], 4)]
    script = """
    const { heldOutFolds } = await import("./src/penalty.js");
    say(given.map(([groups, classes]) => heldOutFolds(groups, classes)));
    """
    for folds, (groups, classes) in zip(node(script, cases), cases, strict=True):
        wanted = held_out_folds(groups, len(groups), classes)
        assert folds == [np.flatnonzero(mask).tolist() for mask in wanted]


def test_examples_are_kept_only_if_asked_for(tiny_backbone: Backbone, tmp_path: Path) -> None:
    """Correcting an app is teaching it again; what it forgot cannot be corrected."""
    export_bundle(tiny_backbone, {}, tmp_path / "b", "fp32")
    made = examples("tc", rows("tc", 12))
    script = """
    const runtime = await open();
    const last = given.at(-1);
    const others = given.slice(0, -1);
    await runtime.teach("all", "tc", given);
    const wrong = { ...last, label: "other" };
    await runtime.teach("some", "tc", [wrong, ...others], { keepExamples: true });
    const report = await runtime.correct("some", last);
    const kept = runtime.examples("some");
    kept[0].text = "changed";
    const [all, some] = Object.values((await runtime.predict(last.text)).apps);
    const again = runtime.examples("some");
    runtime.forgetExamples("some");
    say([
      report.rows, again, all, some, runtime.names, runtime.describe("some"),
      await why(() => runtime.correct("some", last)),
      await why(() => runtime.examples("all")),
      await why(() => runtime.forgetExamples("sme")),
    ]);
    """
    count, kept, all_, some, names, described, *refused = node(script, made, tmp_path / "b")
    assert count == 12
    assert kept == [
        {"text": row["text"], "labels": [row["label"]]} for row in [made[-1], *made[:-1]]
    ]
    assert alike(all_, some)
    assert names == ["all", "some"]
    assert described == {
        "family": "tc", "decoder": "tc", "labels": ["music", "other", "place"], "perWord": False,
        "lora": False,
    }  # fmt: skip
    assert refused[0] == refused[1].replace("all", "some", 1)
    assert refused[0].startswith("app some keeps no examples (keepExamples: true)")
    assert refused[2] == "unknown app sme; nearest: some, all"


@pytest.mark.parametrize("family", ["tc", "ner"])
def test_a_correction_reads_one_text(family: str, tiny_backbone: Backbone, tmp_path: Path) -> None:
    """The states of kept examples serve again; the app and both scores are those of a runtime that
    read all of them anew."""
    export_bundle(tiny_backbone, {}, tmp_path / "b", "fp32")
    made = examples(family, rows(family, 20))
    script = """
    let runs = 0;
    const create = async (...how) => {
      const session = await ort.InferenceSession.create(...how);
      const run = session.run.bind(session);
      session.run = (...inputs) => { runs++; return run(...inputs); };
      return session;
    };
    const counting = { ...ort, InferenceSession: { create } };
    const { family, made } = given;
    const reports = [];
    for (const keepExamples of [true, false]) {
      const read = (path) => readFile(join(folder, path));
      const runtime = await Runtime.open(read, { ort: counting, apps: [] });
      await runtime.teach("app", family, made.slice(0, -1), { keepExamples });
      runs = 0;
      const report = keepExamples
        ? await runtime.correct("app", made.at(-1))
        : await runtime.teach("app", family, made);
      await writeFile(join(out, `${keepExamples}`), await runtime.saveApp("app"));
      reports.push({ ...report, runs, seconds: 0 });
    }
    say(reports);
    """
    given = {"family": family, "made": made}
    corrected, anew = node(script, given, tmp_path / "b", tmp_path)
    assert corrected.pop("runs") == 2  # the trunk and the top
    assert anew.pop("runs") == 10
    assert corrected == anew
    first, second = (load_file(tmp_path / name) for name in ("true", "false"))
    np.testing.assert_allclose(first["head.weight"], second["head.weight"], atol=1e-4)


@pytest.mark.parametrize("name", ["spam", "calendar", "nested"])
def test_an_app_may_start_from_another(
    name: str, tiny_backbone: Backbone, make_app: Any, tmp_path: Path
) -> None:
    """Its own answers teach it nothing; corrections change it, and new labels come to it. A LoRA
    stays, and so do its answers to texts that it is told."""
    app = make_app(tiny_backbone, name)
    export_bundle(tiny_backbone, {name: app}, tmp_path / "b", "fp32")
    texts = [row.text for row in rows("tc", 30)]
    script = """
    const runtime = await open([given.name]);
    const { family } = runtime.describe(given.name);
    const { labels, name: from } = given;
    const numbers = [{ text: "a", value: 1 }, { text: "b", value: 2 }];
    const answers = await runtime.predict(given.texts);
    const examples = answers.map(({ text, apps }) => {
      const { entities, labels } = apps[given.name];
      return entities ? { text, entities } : { text, labels };
    });
    const changed = examples.map(({ text, entities }) =>
      entities ? { text, entities: [{ start: 0, end: text.indexOf(" "), type: "new" }] }
      : { text, labels: ["new"] });
    await runtime.teach("same", family, examples, { from, labels });
    await runtime.teach("other", family, [...examples, ...changed, ...changed], {
      from, labels: [...labels, "new"],
    });
    const sure = given.texts.filter((_, i) => !answers[i].apps[given.name].abstained);
    const few = changed.slice(0, 5);
    await runtime.teach("free", family, [...few, examples[0]], { from });
    await runtime.teach("held", family, few, { from, stay: given.texts });
    await writeFile(out, await runtime.saveApp("other"));
    say([
      await runtime.predict(given.texts), runtime.describe("other"),
      await why(() => runtime.teach("x", "rating", numbers, { from })),
      await why(() => runtime.teach("x", family, few, { from })),
      (await runtime.teach("x", family, few, { from, stay: sure.slice(-2) })).notes,
    ]);
    """
    given = {"name": name, "texts": texts, "labels": app.labels}
    file = tmp_path / "other.safetensors"
    answers, described, family, forgets, notes = node(script, given, tmp_path / "b", file)
    found = [result["apps"] for result in answers]
    key = "labels" if name == "spam" else "entities"

    def given_by(app: str) -> set[Any]:
        """Labels, and the words that entities begin with."""
        of_app = [(number, answer[app][key]) for number, answer in enumerate(found)]
        if name == "spam":
            return {(number, label) for number, labels in of_app for label in labels}
        return {(number, e["start"], e["type"]) for number, entities in of_app for e in entities}

    def shared(app: str) -> float:
        before, after = given_by(name), given_by(app)
        return len(before & after) / len(before | after)

    assert shared("same") > 0.7 > shared("free")
    # Where its answers should stay, more of them do.
    assert shared("held") > shared("free")
    assert any("new" in str(apps["other"][key]) for apps in found)
    assert described["labels"] == sorted([*app.labels, "new"])
    assert described["lora"] == (app.adapter is not None)
    assert BundledApp.from_bytes("other", file.read_bytes(), "x").lora.keys() == (
        Runtime(tmp_path / "b").apps[name].lora.keys()
    )
    assert "not rating" in family
    assert f"new labels alone (new): app {name} would forget its own" in forgets
    assert notes[0] == "new label: new"
    assert "may forget its own labels" in notes[1]


def test_new_labels_are_refused_and_noted_as_in_python(caplog: pytest.LogCaptureFixture) -> None:
    """The page, as the device, keeps an app from forgetting its labels in silence."""
    labels = [["a"], ["b"], ["new"], ["newer"], [], ["a", "new"]]
    random = np.random.default_rng(0)
    cases = [
        [[labels[i] for i in random.integers(len(labels), size=count)] for count in counts]
        for counts in random.integers([1, 0], [5, 4], size=(80, 2))
    ]
    script = """
    const { newLabels } = await import("./src/new-labels.js");
    const kind = (await import("./src/families.js")).FAMILIES["multi-label"];
    const from = { name: "app", labels: ["a", "b", "c"] };
    const example = (labels) => ({ text: "t", labels });
    const said = [];
    for (const [rows, stay] of given) {
      let notes = [];
      const refused = await why(() => {
        notes = newLabels(kind, from, rows.map(example), stay.map(example));
      });
      said.push([Boolean(refused), notes.some((note) => note.includes("may forget"))]);
    }
    say(said);
    """
    app = cast(BundledApp, SimpleNamespace(name="app", labels=["a", "b", "c"]))
    wanted = []
    for case in cases:
        caplog.clear()
        rows, stay = ([LabelledText("t", tuple(row)) for row in part] for part in case)
        try:
            check_beside_new(FAMILIES["multi-label"], app, rows, stay)
            refused = False
        except UserError:
            refused = True
        wanted.append([refused, "may forget" in caplog.text])
    assert node(script, cases) == wanted
    assert {(True, False), (False, True), (False, False)} <= {(r, n) for r, n in wanted}


def test_teaching_can_be_watched_and_stopped(tiny_backbone: Backbone, tmp_path: Path) -> None:
    export_bundle(tiny_backbone, {}, tmp_path / "b", "fp32")
    script = """
    const runtime = await open();
    const seen = [];
    await runtime.teach("one", "tc", given, { progress: (...step) => seen.push(step) });
    const stop = new AbortController();
    let reason;
    try {
      await runtime.teach("two", "tc", given, {
        signal: stop.signal, progress: (what) => what === "penalties" && stop.abort(),
      });
    } catch (error) {
      reason = error.name;
    }
    say([seen, reason, runtime.names]);
    """
    seen, reason, names = node(script, examples("tc", rows("tc", 12)), tmp_path / "b")
    assert seen[0][0] == "texts"
    assert seen[-1][1] == seen[-1][2]
    assert all(done <= total for _, done, total in seen)
    assert (reason, names) == ("AbortError", ["one"])


REFUSED: list[tuple[str, Any, str]] = [
    ("tcc", [], "unknown task family tcc; nearest: tc, ner"),
    ("tc", [], "there are no examples to learn from"),
    ("tc", [{"text": 3, "label": "a"}], "example 1: its text must be a string"),
    ("tc", [{"text": "a", "labels": ["a", "b"]}], "its family is multi-label"),
    ("tc", [{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], "nothing to tell apart"),
    ("multi-label", [{"text": "a", "labels": "x"}], "its labels, a list of strings"),
    ("rating", [{"text": "a", "label": "x"}], 'example 1: "x" is no number'),
    *(
        ("rating", [{"text": "a", "label": label}], f'example 1: "{label}" is no number')
        for label in ("1_0", "0x10", "1 0", "1e400", "", "Infinity", "١٠")
    ),
    ("rating", [{"text": "a", "label": 2}, {"text": "b", "label": 2}], "nothing to tell apart"),
    ("ner", [{"text": "ann", "entities": [{"start": 0, "end": 4, "type": "x"}]}], "no entity"),
    ("ner", [{"text": "ann"}], "entities are missing"),
    (
        "ner",
        [
            {
                "text": "a b",
                "entities": [
                    {"start": 0, "end": 3, "type": "x"},
                    {"start": 2, "end": 3, "type": "y"},
                ],
            }
        ],
        '"a b" and "b" overlap',
    ),
]


def test_what_cannot_be_taught_is_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    export_bundle(tiny_backbone, {}, tmp_path / "b", "fp32")
    script = """
    const runtime = await open();
    const said = [];
    for (const [family, examples] of given) {
      said.push(await why(() => runtime.teach("mine", family, examples)));
    }
    const example = [{ text: "a", label: "x" }, { text: "b", label: "z" }];
    said.push(await why(() => runtime.teach("../mine", "tc", example)));
    said.push(await why(() => runtime.teach("mine", "tc", example, { maxLength: 7 })));
    said.push(await why(() => runtime.teach("mine", "tc", example, { noneBelow: 2 })));
    const stars = [{ text: "a", label: "+1." }, { text: "b", label: "2.5e0" }];
    said.push(await why(() => runtime.teach("mine", "rating", stars, { labels: ["0x10"] })));
    say([...said, runtime.names]);
    """
    *said, name, length, least, end, names = node(
        script, [case[:2] for case in REFUSED], tmp_path / "b"
    )
    for (_, _, wanted), message in zip(REFUSED, said, strict=True):
        assert wanted in message
    assert 'cannot be called "../mine"' in name
    assert length == "maxLength 7: must be at least 8"
    assert least == "noneBelow is 2, not a number from 0 to 1"
    assert end.startswith('labels: "0x10" is no number')
    assert names == []
