from __future__ import annotations

from pathlib import Path

import pytest

from onetrunk.errors import UserError
from onetrunk.serving.settings import TOKEN, Limits, read_origins, read_token


def test_a_token_comes_from_the_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN, "of the environment")
    assert read_token(None) == "of the environment"
    file = tmp_path / "token"
    file.write_text("  of the file, in a line\n")
    assert read_token(file) == "of the file, in a line"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"two\nlines of text", "é".encode() * 20]
)
def test_what_is_no_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UserError, match="token holds no token: 16 ASCII characters"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_bytes(b"\xff" * 20)
    with pytest.raises(UserError, match="not UTF-8"):
        read_token(tmp_path / "token")


def test_limits_must_make_sense() -> None:
    with pytest.raises(UserError, match="--max-batch is 0: it must be more than 0"):
        Limits(max_batch=0)
    with pytest.raises(UserError, match="--deadline is -1"):
        Limits(deadline=-1)
    with pytest.raises(UserError, match="--deadline is nan"):
        Limits(deadline=float("nan"))
    with pytest.raises(UserError, match=r"^--max-texts 256 is more than --max-queue 100: "):
        Limits(max_queue=100)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        (" HTTPS://Example.com:443/", "https://example.com"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_what_a_browser_sends(given: str, sent: str) -> None:
    assert read_origins([given]) == [sent]


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("example.org", "https://example.org"),
        ("localhost:3000", "https://localhost:3000"),
        ("https://example.com/app", "https://example.com"),
        ("http://example.com?x=1", "http://example.com"),
        ("https://me:secret@example.com", "https://example.com"),
        ("https://*.example.com", "https://example.com"),
        ("https://", "https://example.com"),
        ("", "https://example.com"),
        ("https://b\xfccher.example", "https://example.com"),
    ],
)
def test_what_no_browser_sends_is_no_origin(given: str, form: str) -> None:
    with pytest.raises(UserError, match=rf"^--cors-origin .*: write {form}$"):
        read_origins([given])
