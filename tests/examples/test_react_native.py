"""The phone app. Needs node, and its slow tests ``npm install`` in ``examples/react_native``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from onetrunk.bundle.parity import hostile_texts

ROOT = Path(__file__).parents[2]
PHONE = ROOT / "examples" / "react_native"
PACKAGES = PHONE / "node_modules"
HERMES = PACKAGES / "react-native/sdks/hermesc/linux64-bin/hermesc"
BUNDLE = ROOT / "tests/fixtures/format-0.1/bundle"
pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


def node(folder: Path, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """What a script does in a folder, if it is told something."""
    return subprocess.run(["node", *words], cwd=folder, input=said, capture_output=True, text=True)


def test_a_bundle_is_packed_whole_but_for_examples(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    manifest = json.loads((BUNDLE / "bundle.json").read_text())
    manifest["files"]["examples/spam.jsonl"] = {"bytes": 1, "sha256": "0"}
    (tmp_path / "bundle/bundle.json").write_text(json.dumps(manifest))
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/99.bin").write_text("of another bundle")
    packed = node(tmp_path, str(PHONE / "pack.mjs"), "bundle")
    assert packed.returncode == 0, packed.stderr
    lines = re.findall(r'"(.+)": require\("\./(.+)"\)', (tmp_path / "packed.js").read_text())
    wanted = {path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*") if path.is_file()}
    assert {path for path, _ in lines} == wanted
    for path, asset in lines:
        assert (tmp_path / asset).read_bytes() == (tmp_path / "bundle" / path).read_bytes()
    assert len([*(tmp_path / "assets").iterdir()]) == len(wanted)


def test_what_is_no_bundle_is_not_packed(tmp_path: Path) -> None:
    assert "npm run pack -- FOLDER" in node(tmp_path, str(PHONE / "pack.mjs")).stderr
    refused = node(tmp_path, str(PHONE / "pack.mjs"), "nowhere")
    assert refused.returncode == 2
    assert refused.stderr == "nowhere is no bundle: it holds no bundle.json\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_its_types_are_right() -> None:
    if not (PACKAGES / "typescript").exists():
        pytest.skip("no npm install in examples/react_native")
    checked = node(PHONE, str(PACKAGES / "typescript/bin/tsc"), "--strict", "--noEmit")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_regular_expressions_are_those_that_phones_know(tmp_path: Path) -> None:
    """Hermes compiles the patterns; what it does not know ends the app when it starts."""
    if not HERMES.exists():
        pytest.skip("no npm install in examples/react_native, or another system than Linux")
    words = (ROOT / "web/src/words.js").read_text().replace("export ", "")
    literals = [
        literal
        for file in (ROOT / "web/src").glob("*.js")
        for literal in re.findall(r"(?<=[=(\s])/(?:[^/\n\\*]|\\.)+/[a-z]+", file.read_text())
    ]
    run = node(tmp_path, "-e", words + "\nconsole.log(`${RUN}`);").stdout
    assert run.startswith("/")
    assert len(literals) > 5
    script = "".join(f"var regexp = {one};\n" for one in [run.strip(), *literals])
    (tmp_path / "script.js").write_text(script)
    command = [str(HERMES), "-emit-binary", "-out", str(tmp_path / "out"), "script.js"]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.slow
def test_words_end_where_they_do_elsewhere(tmp_path: Path) -> None:
    """With what stands in for ``Intl.Segmenter``, which Hermes lacks."""
    polyfill = PACKAGES / "unicode-segmenter/intl-polyfill.js"
    if not polyfill.exists():
        pytest.skip("no npm install in examples/react_native")
    words = (ROOT / "web/src/words.js").as_uri()
    script = f"""
    import {{ json }} from "node:stream/consumers";
    const {{ wordsOf }} = await import("{words}");
    delete Intl.Segmenter;
    await import("{polyfill.as_uri()}");
    const there = await import("{words}?again");
    const texts = await json(process.stdin);
    const differ = texts.filter((text) => `${{wordsOf(text)}}` !== `${{there.wordsOf(text)}}`);
    console.log(JSON.stringify([`${{Intl.Segmenter}}`.includes("native code"), differ]));
    """
    texts = [
        *hostile_texts(1000, seed=4),
        "👩" + "\u200d👩🏽" * 60 + "!",
        "🇫🇷🇩🇪 क्षि e\u0301\u0302 각",
    ]
    ran = node(tmp_path, "--input-type=module", "-e", script, said=json.dumps(texts))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [False, []]
