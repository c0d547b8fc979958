"""The wheel as a stranger installs it: into an empty environment, outside the clone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from onetrunk.bundle.page import ORT

pytest.importorskip("build")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "onetrunk"


def execute(*command, cwd):
    """Run a command that sees nothing of the clone; return what it printed."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    process = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder of a fresh wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    execute(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture
def install(dist, tmp_path):
    """``install(extra)``: the ``bin`` folder of an environment with the wheel and this extra."""
    folder = tmp_path / "environment"

    def make(extra):
        venv.create(folder, with_pip=True)
        (wheel,) = dist.glob("*.whl")
        constraints = ROOT / "constraints.txt"
        execute(
            *(folder / "bin" / "python", "-m", "pip", "install", "--quiet"),
            *("-c", constraints, f"{wheel}[{extra}]"),
            cwd=tmp_path,
        )
        return folder / "bin"

    yield make
    shutil.rmtree(folder)  # gigabytes


@pytest.fixture
def empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_wheel_and_sdist_hold_every_file_of_the_package(dist):
    files = {
        file.relative_to(ROOT / "src").as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    web = ROOT / "web"
    files |= {
        f"onetrunk/web/{file.relative_to(web).as_posix()}"
        for folder in ("playground", "src", "licenses")
        for file in (web / folder).rglob("*")
        if file.is_file()
    }
    if (web / "node_modules" / "onnxruntime-web").exists():
        files |= {f"onetrunk/web/ort/{name}" for name in ORT}
    assert "onetrunk/py.typed" in files
    assert sum(file.endswith(".yaml") for file in files) >= 10
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == files
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    in_sdist = {f"web/{file.removeprefix('onetrunk/web/')}" for file in files if "/web/" in file}
    in_sdist |= {f"src/{file}" for file in files if "/web/" not in file}
    assert in_sdist <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "constraints.txt"} <= names


def test_the_runtime_extra_is_enough_to_import(install, empty):
    bin = install("runtime")
    check = (
        "import sys, onetrunk, onetrunk.bundle.runtime;"
        "heavy = {'torch', 'transformers', 'pyarrow', 'rich'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "print(onetrunk.__version__, onetrunk.__file__)"
    )
    version, file = execute(bin / "python", "-c", check, cwd=empty).split()
    assert Path(file).is_relative_to(bin.parent)
    assert version in next(bin.parent.rglob("onetrunk-*.dist-info")).name


def test_the_serve_extra_is_enough_to_serve(install, empty):
    bin = install("serve")
    bundle = ROOT / "tests" / "fixtures" / "format-0.1" / "bundle"
    service = subprocess.Popen(
        [bin / "onetrunk", "serve", bundle, "--port", "0"],
        cwd=empty,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
    )
    try:
        address = json.loads(service.stdout.readline())["address"]
        with urllib.request.urlopen(f"http://{address}/readyz") as answer:
            assert answer.read() == b"ready"
        service.terminate()
        assert service.wait(30) == 0
    finally:
        service.kill()
        service.wait()
    assert not [*bin.parent.rglob("torch")]


def test_the_demo_runs_outside_the_clone(install, empty):
    bin = install("demo")
    assert "--corpus-only" in execute(bin / "onetrunk", "demo", "--help", cwd=empty)
    printed = execute(bin / "onetrunk", "demo", cwd=empty)
    print(printed)
    has_ort = (ROOT / "web" / "node_modules" / "onnxruntime-web").exists()
    assert printed.count("\n$ onetrunk ") == 30 + has_ort
    assert "this demo took" in printed
    assert [path.name for path in empty.iterdir()] == ["runs"]
    made = {path.name for path in (empty / "runs" / "demo").iterdir()}
    made -= {"page"} if has_ort else set()
    assert made == {"corpus", "none", "tpl", "apps", "bundle", "scores.png"}
