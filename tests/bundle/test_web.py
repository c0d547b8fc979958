"""The JavaScript runtime against the Python one. Needs node, and ``npm install`` in ``web/``.

With onnxruntime-web, but for one test, which has onnxruntime-node.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.neighbours import Neighbours
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import entry
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.alignment import encode_windows
from onetrunk.data.units import units_of
from onetrunk.data.words import words_of
from onetrunk.families.rating import Rating
from onetrunk.model.backbone import Backbone
from onetrunk.model.tokenizer import with_symbols_apart

WEB = Path(__file__).parents[2] / "web"
pytestmark = [
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
    pytest.mark.skipif(
        not (WEB / "node_modules" / "onnxruntime-web").exists(), reason="no npm install in web/"
    ),
]


# A script's ground: `open(folder)`, and `why(promise)`, what it is refused with.
GROUND = """
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as ort from "ORT";
import { BundleError, Runtime } from "./src/index.js";

ort.env.wasm.numThreads = 1;
const [folder, other] = process.argv.slice(1);
const session = { intraOpNumThreads: 1 };
const open = (at, apps) => Runtime.open((path) => readFile(join(at, path)), { ort, apps, session });
const why = async (promise) => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BundleError) return error.message;
    throw error;
  }
};
const say = (value) => console.log(JSON.stringify(value));
"""
PREDICT = "say(await (await open(folder)).predict(JSON.parse(await text(process.stdin))));"


def node(
    script: str, *folders: Path, texts: list[str] | None = None, ort: str = "onnxruntime-web"
) -> Any:
    """What a script says."""
    script = GROUND.replace("ORT", ort) + script
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", script, *map(str, folders)],
        cwd=WEB,
        input=json.dumps(texts or []),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def utf16(text: str, at: int) -> int:
    return len(text[:at].encode("utf-16-le", "surrogatepass")) // 2


def offsets_in_utf16(results: list[dict[str, Any]]) -> None:
    for result in results:
        for answer in result["apps"].values():
            for entity in answer.get("entities", []):
                for key in ("start", "end"):
                    entity[key] = utf16(result["text"], entity[key])


def alike(one: Any, other: Any, gap: float) -> bool:
    """Equal but for ``gap`` between numbers."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key], gap) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(
            alike(*pair, gap) for pair in zip(one, other, strict=True)
        )
    if isinstance(one, float | int):
        return bool(abs(one - other) < gap)
    return bool(one == other)


NODE_ORT = pytest.param(
    "onnxruntime-node",
    500,
    marks=pytest.mark.skipif(
        not (WEB / "node_modules" / "onnxruntime-node").exists(),
        reason="onnxruntime-node is not installed: npm install in web/",
    ),
)


# In eight bits a sum that differs in its last digit can be rounded to another step. WebAssembly
# sums in another order; ``others`` is the share of answers that this may change there.
@pytest.mark.parametrize(
    ("precision", "gap", "others"),
    [
        ("fp32", 5e-4, 0),
        ("int8", 0.02, 0.002),
        ("int8-text", 0.02, 0.01),  # a step in attention is of all tokens at once
        ("int4", 1e-3, 0),
    ],
)
@pytest.mark.parametrize(("ort", "count"), [("onnxruntime-web", 100), NODE_ORT])
def test_answers_are_those_of_python(
    ort: str,
    count: int,
    precision: Any,
    gap: float,
    others: float,
    tiny_backbone: Backbone,
    apps: dict[str, App],
    tmp_path: Path,
) -> None:
    """Apps of every shape, two with neighbours, hostile texts, texts of several windows."""
    random = torch.Generator().manual_seed(0)
    for name, soft_targets in (("mood", torch.eye(3)[[0, 1, 2, 2, 1]]), ("flags", torch.eye(2))):
        states = torch.randn(len(soft_targets), apps[name].head.in_features, generator=random)
        apps[name] = replace(
            apps[name], neighbours=Neighbours.of(states, soft_targets, 2, 0.5, 0.4)
        )
    export_bundle(tiny_backbone, apps, tmp_path / "b", precision)
    rng = np.random.default_rng(0)
    known = [c for c in map(chr, range(0x20, 0x3000)) if unicodedata.category(c) != "Cn"]
    odd = ["".join(rng.choice(known, 40)) for _ in range(40)]
    texts = [*hostile_texts(count - len(odd), seed=3), *odd]
    wanted = Runtime(tmp_path / "b", threads=1).predict(texts)
    offsets_in_utf16(wanted)
    got = node(PREDICT, tmp_path / "b", texts=texts, ort=ort)
    differing = []
    for want, have in zip(wanted, got, strict=True):
        assert list(want["apps"]) == list(have["apps"])
        for name, answer in want["apps"].items():
            if not alike(answer, have["apps"][name], gap):
                differing.append((name, want["text"]))
    others *= ort == "onnxruntime-web"
    assert len(differing) <= others * len(wanted) * len(apps), differing


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("max_length", [6, 24, 512])
def test_units_are_those_of_python(
    tiny_tokenizer: Any, max_length: int, apart: bool, tmp_path: Path
) -> None:
    """The words, the units, and where each window reads them."""
    if apart:
        tiny_tokenizer = with_symbols_apart(copy.deepcopy(tiny_tokenizer))
    long = [
        "." * at + "👩" + "\u200d👩🏽" * 60 + "!" for at in range(5)
    ]  # a grapheme of 300 code units
    texts = [*hostile_texts(3000, seed=max_length), *long]
    wanted = []
    for text, windows in zip(texts, encode_windows(tiny_tokenizer, texts, max_length), strict=True):
        units = units_of(text, windows)
        at = [*accumulate((utf16(c, 1) for c in text), initial=0)]
        words, spans = (
            [[at[start], at[end]] for start, end in spans]
            for spans in (words_of(text), units.spans)
        )
        wanted.append([words, spans, units.tokens])
    (tmp_path / "tokenizer.json").write_text(tiny_tokenizer.backend_tokenizer.to_str())
    script = f"""
    const {{ Tokenizer }} = await import("./src/tokenizer.js");
    const {{ unitsOf }} = await import("./src/units.js");
    const {{ windows }} = await import("./src/windows.js");
    const {{ wordsOf }} = await import("./src/words.js");
    const tokenizer = new Tokenizer(JSON.parse(await readFile(join(folder, "tokenizer.json"))));
    const units = (text) => unitsOf(text, windows(tokenizer, text, {max_length}));
    const texts = JSON.parse(await text(process.stdin));
    say(texts.map((text) => [wordsOf(text), units(text).spans, units(text).tokens]));
    """
    for text, want, have in zip(texts, wanted, node(script, tmp_path, texts=texts), strict=True):
        assert want == have, text


def test_engine_bundle_and_browser_find_the_same(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    chosen = {name: apps[name] for name in ("calendar", "nested")}
    export_bundle(tiny_backbone, chosen, tmp_path / "b", "fp32")
    texts = hostile_texts(1500, seed=1)
    of_engine = Engine(tiny_backbone, chosen).predict(texts)
    of_bundle = Runtime(tmp_path / "b", threads=1).predict(texts)
    of_browser = node(PREDICT, tmp_path / "b", texts=texts)
    offsets_in_utf16(of_engine)
    offsets_in_utf16(of_bundle)
    for name in chosen:
        assert sum(len(result["apps"][name]["entities"]) for result in of_engine) > 5_000
    for engine, bundle, browser in zip(of_engine, of_bundle, of_browser, strict=True):
        assert spans_of(engine) == spans_of(bundle), engine["text"]
        assert spans_of(engine) == spans_of(browser), engine["text"]


def test_engine_bundle_and_browser_abstain_alike(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    """At a threshold that leaves out about half of each app's answers; and for texts that show
    nothing."""
    blank = ["", " \n", "\x00\t", "\u200b\ufeff", "\u3164", "\ufe0f", "\u2028\x85", "\U000e0041"]
    shown = ["\u0301", "\ud800", ".", "\ufffd", "\ue000", "\u200bx"]
    texts = [*blank, *shown, *hostile_texts(300, seed=5)]
    for name, result in Engine(tiny_backbone, apps).predict(" ".join(shown))["apps"].items():
        scores = [entity["score"] for entity in result.get("entities", ())]
        scores += [result["probabilities"][label] for label in result.get("labels", ())]
        # Between two values that were rounded for the answer, so that no rounding decides.
        apps[name] = replace(apps[name], none_below=round(np.median(scores or [0.7]), 3) + 0.00037)
    export_bundle(tiny_backbone, apps, tmp_path / "b", "fp32")
    of_engine = Engine(tiny_backbone, apps).predict(texts)
    of_bundle = Runtime(tmp_path / "b", threads=1).predict(texts)
    of_browser = node(PREDICT, tmp_path / "b", texts=texts)
    offsets_in_utf16(of_engine)
    offsets_in_utf16(of_bundle)
    said = {True: 0, False: 0}
    for number, results in enumerate(zip(of_engine, of_bundle, of_browser, strict=True)):
        engine, bundle, browser = (result["apps"] for result in results)
        for name, answer in engine.items():
            assert alike(answer, bundle[name], 5e-4), (name, texts[number])
            assert alike(bundle[name], browser[name], 5e-4), (name, texts[number])
            if "labels" in answer:
                abstained = answer.get("abstained", False)
                assert abstained or number >= len(blank)
                said[abstained] += name != "flags"
    assert min(said.values()) > 200, said
    apps = {"spam": replace(apps["spam"], none_below=0.5)}
    export_bundle(tiny_backbone, apps, tmp_path / "one", "fp32")
    whole = (tmp_path / "one/apps/spam.safetensors").read_bytes()
    (tmp_path / "odd.safetensors").write_bytes(
        whole.replace(b'none_below\\": 0.5', b'none_below\\": 2.5')
    )
    script = """
    const runtime = await open(folder);
    const add = async (bytes) => runtime.add("odd", bytes);
    say(await why(add(await readFile(other))));
    """
    said_why = node(script, tmp_path / "one", tmp_path / "odd.safetensors")
    assert said_why == "app odd: none_below is 2.5, not a number from 0 to 1"


def spans_of(result: dict[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [(entity["start"], entity["end"], entity["type"]) for entity in answer["entities"]]
        for name, answer in result["apps"].items()
    }


def test_one_text_or_a_list(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> None:
    export_bundle(tiny_backbone, apps, tmp_path / "b", "fp32")
    script = """
    const runtime = await open(folder, "spam");
    const one = await runtime.predict("lunch in Oslo");
    say([
      runtime.names, one, await runtime.predict(["lunch in Oslo"], "spam"),
      await why(runtime.predict()), await why(runtime.predict({ text: "a" })),
      await why(runtime.predict(["a", null])), await why(runtime.predict("a", 3)),
    ]);
    """
    names, one, many, nothing, table, hole, number = node(script, tmp_path / "b")
    assert names == ["spam"]
    assert [one] == many
    assert one["text"] == "lunch in Oslo"
    assert nothing == "texts: pass a string or an array of strings, not undefined"
    assert table == "texts: pass a string or an array of strings, not object"
    assert hole == "texts: item 1 is null; every one must be a string"
    assert number == "apps: pass a string or an array of strings, not number"


def test_apps_say_their_decoder_or_are_read_by_their_family(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    """A family that only Python knows; and a bundle of version 0.1, which says no decoder."""

    class Mine(Rating):
        name = "mine"

    stars = replace(apps["stars"], family=Mine())
    export_bundle(tiny_backbone, {"stars": apps["stars"], "mine": stars}, tmp_path / "b", "fp32")
    (found,) = node(PREDICT, tmp_path / "b", texts=["call mum"])
    assert found["apps"]["mine"] == found["apps"]["stars"]
    old = Path(__file__).parents[1] / "fixtures" / "format-0.1"
    wanted = json.loads((old / "predictions.json").read_text())["runtime"][:-1]  # "" comes last
    got = node(PREDICT, old / "bundle", texts=[result["text"] for result in wanted])
    assert alike(got, wanted, 1e-3)


def test_node_as_the_pages_show_it(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    if not (WEB / "node_modules" / "onnxruntime-node").exists():
        pytest.skip("onnxruntime-node is not installed: npm install in web/")
    export_bundle(tiny_backbone, {"spam": apps["spam"]}, tmp_path / "phone", "int8")
    page = (WEB.parent / "docs/devices.md").read_text()
    (code,) = re.findall(r"```js\n(.*?)```", page, re.S)
    code = code.replace("phone/$", f"{tmp_path}/phone/$") + "console.log(JSON.stringify(apps));"
    command = ["node", "--input-type=module", "-e", code]
    ran = subprocess.run(command, cwd=WEB, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["spam"]["labels"]


def test_apps_come_and_go(
    tiny_backbone: Backbone, apps: dict[str, App], make_app: Callable[..., App], tmp_path: Path
) -> None:
    """An app that is added answers as in a bundle that had it from the start."""
    export_bundle(tiny_backbone, apps, tmp_path / "b", "fp32")
    changed = apps | {"calendar": make_app(tiny_backbone, "calendar", seed=5)}
    export_bundle(tiny_backbone, changed, tmp_path / "c", "fp32")
    script = """
    const runtime = await open(folder);
    const texts = ["lunch in Oslo", "nothing"];
    const early = runtime.predict(texts, ["calendar"]);
    runtime.add("calendar", await readFile(join(other, "apps/calendar.safetensors")));
    runtime.remove("spam");
    const late = await runtime.predict(texts, ["calendar"]);
    say([
      await early, late, await (await open(folder)).predict(texts, ["calendar"]),
      await (await open(other)).predict(texts, ["calendar"]),
      runtime.names, await why(runtime.predict(texts, ["calender"])),
      await why(runtime.predict(["x".repeat(2 ** 20)])),
    ]);
    """
    early, late, before, after, names, unknown, long = node(script, tmp_path / "b", tmp_path / "c")
    assert (early, late) == (before, after)
    assert early != late
    assert "spam" not in names
    assert "unknown app calender; nearest: calendar" in unknown
    assert "text 0 has 1048576 characters; at most 200000" in long


def test_what_is_refused(
    tiny_backbone: Backbone,
    apps: dict[str, App],
    make_app: Callable[..., App],
    make_backbone: Callable[..., Backbone],
    tmp_path: Path,
) -> None:
    """A changed byte, a missing part, another format or tokenizer, a path that leads outside, an
    app of another backbone."""
    export_bundle(tiny_backbone, {"spam": apps["spam"]}, tmp_path / "whole", "fp32")
    stranger = make_backbone(pooling="cls")
    with torch.no_grad():
        next(iter(stranger.encoder.model.parameters())).add_(1.0)
    stranger = replace(stranger, fingerprint=stranger.encoder.fingerprint())
    export_bundle(stranger, {"spam": make_app(stranger, "spam")}, tmp_path / "other", "fp32")

    def manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
        def damage(folder: Path) -> None:
            file = folder / "bundle.json"
            content = json.loads(file.read_text())
            change(content)
            file.write_text(json.dumps(content))

        return damage

    def tokenizer(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text())
        content["model"]["type"] = "BPE"
        written = json.dumps(content).encode()
        (folder / "tokenizer.json").write_bytes(written)
        manifest(lambda m: m["files"].update({"tokenizer.json": entry(written)}))(folder)

    damages: dict[str, tuple[Callable[[Path], Any], str]] = {
        "byte": (
            lambda f: (f / "top.onnx").write_bytes(b"x" + (f / "top.onnx").read_bytes()[1:]),
            "top.onnx is not the file that was exported",
        ),
        "missing": (lambda f: (f / "trunk.onnx").unlink(), "not complete: trunk.onnx"),
        "format": (manifest(lambda m: m.update(format=9)), "is of format 9"),
        "key": (manifest(lambda m: m.pop("k")), "no valid k"),
        "path": (manifest(lambda m: m["files"].update({"../x": {}})), "lies outside the bundle"),
        "tokenizer": (tokenizer, "model is BPE; in the browser it has to be WordPiece"),
    }
    for name, (damage, reason) in damages.items():
        shutil.copytree(tmp_path / "whole", tmp_path / name)
        damage(tmp_path / name)
        assert reason in node("say(await why(open(folder)));", tmp_path / name), name
    script = """
    const runtime = await open(folder);
    const bytes = await readFile(join(other, "apps/spam.safetensors"));
    const refuse = async (...args) => runtime.add(...args);
    say([await why(refuse("spam", bytes)), await why(refuse("spam", bytes.subarray(0, 50)))]);
    """
    backbone, short = node(script, tmp_path / "whole", tmp_path / "other")
    assert "trained on another backbone" in backbone
    assert "is damaged: it is cut short" in short
