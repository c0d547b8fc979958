"""The version that cells are compared by."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import onetrunk
from onetrunk import __version__
from onetrunk.benchmark import versions as module
from onetrunk.benchmark.versions import package_version, versions


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    package_version.cache_clear()
    yield
    package_version.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def version_now() -> str:
    package_version.cache_clear()
    return package_version()


def test_a_checkout_is_known_by_its_last_commit_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src/onetrunk"
    package.mkdir(parents=True)
    monkeypatch.setattr(onetrunk, "__file__", str(package / "__init__.py"))
    assert version_now() == __version__  # no repository
    git(tmp_path, "init", "-q")
    assert version_now() == __version__  # nothing is committed
    (package / "__init__.py").write_text("x = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "code")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert version_now() == f"{__version__}+{commit}"
    # Documents and results are not what cells follow from.
    (tmp_path / "README.md").write_text("x")
    assert version_now() == f"{__version__}+{commit}"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "docs")
    assert version_now() == f"{__version__}+{commit}"
    (package / "more.py").write_text("")
    assert version_now() == f"{__version__}+{commit}+dirty"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "more code")
    assert version_now() == f"{__version__}+{git(tmp_path, 'rev-parse', 'HEAD')[:12]}"


def test_an_installed_package_in_another_repository_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / ".venv/onetrunk"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "mine")
    monkeypatch.setattr(onetrunk, "__file__", str(package / "__init__.py"))
    assert version_now() == __version__


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert version_now() == __version__


def test_versions_name_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "package_version", lambda: "9")
    assert list(versions())[:2] == ["python", "onetrunk"]
    assert versions()["onetrunk"] == "9"
    assert set(module.LIBRARIES) < set(versions())
