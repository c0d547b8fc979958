"""One hash of the code that scores follow from."""

from __future__ import annotations

import ast
import hashlib
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import onetrunk
from onetrunk.families.base import Family

COUNTED = (
    "adapt/*.py",
    "benchmark/measure.py",
    "benchmark/outcomes.py",
    "data/alignment.py",
    "data/batching.py",
    "data/examples.py",
    "data/formats/*.py",
    "data/iob.py",
    "data/sampling.py",
    "data/schemes.py",
    "data/sources.py",
    "decoding.py",
    "engine.py",
    "families/base.py",
    "metrics/scores.py",
    "model/backbone.py",
    "model/encoder.py",
    "model/heads.py",
    "model/loading.py",
    "model/lora.py",
    "model/lora_stack.py",
    "model/neighbours.py",
    "model/packing.py",
    "model/padding.py",
    "model/peft_format.py",
    "model/precision.py",
)
"""Sources whose change makes every cell stale, besides the module of the cell's family."""


def code_sha256(family: Family[Any, Any]) -> str:
    """Hash of :data:`COUNTED` and the family's module; comments, layout and docstrings left out."""
    package = Path(onetrunk.__file__).parent
    files = [file for pattern in COUNTED for file in sorted(package.glob(pattern))]
    digest = hashlib.sha256()
    kinds = [
        kind for kind in type(family).__mro__ if issubclass(kind, Family) and kind is not Family
    ]
    for file in dict.fromkeys([*files, *(Path(inspect.getfile(kind)) for kind in kinds)]):
        digest.update(f"{file.name}\n{_normal(file)}\n".encode())
    return digest.hexdigest()


def normalised(source: str) -> str:
    """Python source without what does not run: layout, comments, strings that stand alone."""
    return ast.unparse(_Bare().visit(ast.parse(source)))


@cache
def _normal(file: Path) -> str:
    # Cached also because a long run must answer for the code that it imported at its start.
    return normalised(file.read_text(encoding="utf-8"))


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node
