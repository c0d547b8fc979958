"""Which changes of code make cells stale."""

import ast
from pathlib import Path

import onetrunk
from onetrunk.benchmark.code import COUNTED, code_sha256, normalised
from onetrunk.families import family

PACKAGE = Path(onetrunk.__file__).parent
# What the counted code imports and scores do not follow from.
NOT_COUNTED = {
    "", "adapt", "benchmark", "benchmark.cells", "benchmark.suite", "config", "data",
    "data.findings", "data.formats", "data.locate", "data.notes", "errors", "families",
    "families.classification", "families.mixture", "families.ner", "families.preparing",
    "metrics", "model", "model.embedding", "processes", "storage",
}  # fmt: skip


def test_comments_layout_and_docstrings_do_not_count() -> None:
    one = '"""Doc."""\nx = 1\ndef f(a):\n    """Doc."""\n    return (a + x)  # why\n'
    other = "x   = 1\n\n\ndef f(a):\n    return a + x\n"
    assert normalised(one) == normalised(other)
    assert normalised(one) != normalised(other.replace("+", "-"))
    assert normalised('y = "a"') != normalised('y = "b"')


def test_a_familys_own_module_counts_for_it_alone() -> None:
    assert code_sha256(family("ner")) != code_sha256(family("tc"))
    assert code_sha256(family("ner")) == code_sha256(family("ner"))


def test_what_the_counted_code_imports_is_counted_or_left_out_on_purpose() -> None:
    counted = {file for pattern in COUNTED for file in PACKAGE.glob(pattern)}
    for pattern in COUNTED:
        assert list(PACKAGE.glob(pattern)), pattern
    names = {
        str(file.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for file in counted
    }
    for file in counted:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onetrunk"):
                module = (node.module or "")[len("onetrunk") :].removeprefix(".")
                assert module in names | NOT_COUNTED, f"{file.name} imports {module}"
