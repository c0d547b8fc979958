from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onetrunk.errors import UserError
from onetrunk.yaml_files import read_yaml, yaml_value


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("steps: 2\nk: 1\nsteps: 3\n", "3: the key 'steps'"),
        ("a:\n  - b: 1\n    c: {d: 1,\n      d: 1}\n", "4: the key 'd'"),
        ("a: 1\n? a\n: 2\n", "2: the key 'a'"),
        ('a: 1\n"a": 2\n', "2: the key 'a'"),
        ("1: a\n0x1: b\n", "2: the key 1"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  a: 2\n  a: 3\n", "5: the key 'a'"),
    ],
)
def test_a_key_that_comes_twice_is_named_with_its_line(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(file, "recipe")
    assert str(caught.value) == f"{file}:{key} occurs twice"


def test_merged_keys_are_replaced_and_aliases_repeated() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: [*b, *a], z: 4}\nd: *b\n"
    assert yaml_value(text, "r.yaml") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 3, "z": 4},
        "d": {"x": 1, "y": 3},
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("010", 10), ("-7", -7), ("0o10", 8), ("0xFF", 255), ("1_000", "1_000"),
        ("1:30", "1:30"), ("1:30.5", "1:30.5"), ("0b1", "0b1"), ("yes", "yes"), ("no", "no"),
        ("on", "on"), ("Off", "Off"), ("y", "y"), ("true", True), ("FALSE", False),
        ("1e-4", 1e-4), ("1.", 1.0), (".5", 0.5), ("-.inf", float("-inf")), ("~", None),
        ("2026-01-31", "2026-01-31"), ("=", "="), ("'1'", "1"), ("", None), ("١٠", "١٠"),
    ],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(written: str, value: Any) -> None:
    found = yaml_value(f"a: {written}\n", "r.yaml")["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "written",
    ["!!int 1_0", "!!int x", "!!bool yes", "!!float 1:30", "!!timestamp x", "!!seq a", "!foo a"],
)
def test_a_value_that_is_not_what_its_tag_says(tmp_path: Path, written: str) -> None:
    file = tmp_path / "r.yaml"
    for text in (f"a: {written}\n", f"? {written}\n: 1\n"):
        file.write_text(text)
        with pytest.raises(UserError, match=r"is not YAML: '\w.*' is no ") as caught:
            read_yaml(file, "recipe")
        assert "line 1" in str(caught.value)
