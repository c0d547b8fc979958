"""YAML of recipes, suites and templates. A key comes once, and no value is silently another.

Plain values are read by the core schema of YAML 1.2: ``010`` is ten, and ``1:30``, ``1_000``,
``yes`` and ``2026-01-31`` are texts.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from onetrunk.errors import UserError, nearest_path
from onetrunk.kinds import kind_of

MOST_VALUES = 100_000
"""Of a recipe or a suite; without aliases no file that is read in a second has so many."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "merge": "<<",
    "null": "~|null|Null|NULL|",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
"""How values that are no texts are written without quotes, in the order of trying."""


class _Loader(yaml.SafeLoader):
    """PyYAML knows YAML 1.1. This takes its syntax, but not what it makes of plain values."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping. Raises :class:`UserError` for a key that occurs twice."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
                continue
            value = self.construct_object(key)
            if value in keys:
                where = f"{self.name}:{key.start_mark.line + 1}"
                raise UserError(f"{where}: the key {value!r} occurs twice")
            keys.add(value)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Compose a value. Raises a YAMLError if it is not what its tag says (``!!int x``)."""
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        kind = node.tag.removeprefix(_TAG)
        if kind != "str" and not re.fullmatch(_PLAIN.get(kind, "(?!)"), node.value):
            raise yaml.MarkedYAMLError(None, None, f"{node.value!r} is no {kind}", node.start_mark)
        return node


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = loader.construct_scalar(node)
    return int(value, {"0o": 8, "0x": 16}.get(value[:2], 10))


_Loader.yaml_implicit_resolvers = {}
_Loader.add_constructor(f"{_TAG}int", _whole)
for _kind, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), None)


def yaml_value(text: str, source: str) -> Any:
    """The value of a YAML document.

    Raises :class:`UserError` naming ``source``, line and key for a key that a mapping has twice,
    and for aliases that stand for too many values; otherwise what PyYAML raises.
    """
    loader = _Loader(text)
    loader.name = source
    root = loader.get_single_node()
    if _expanded(root) > MOST_VALUES:
        raise UserError(f"{source} stands for more than {MOST_VALUES:,} values, by its aliases")
    return None if root is None else loader.construct_document(root)


def read_yaml(path: Path, kind: str) -> dict[str, Any]:
    """Read a YAML mapping. ``kind`` says in messages what the file should be.

    Raises :class:`UserError` for a file that is missing (with the nearest sibling's name) or is no
    YAML mapping, and as :func:`yaml_value`.
    """
    try:
        data = yaml_value(path.read_text(encoding="utf-8"), str(path))
    except IsADirectoryError:
        what = kind_of(path) or "a folder"
        raise UserError(f"{path} is {what}, not a {kind}: name a YAML file") from None
    except (FileNotFoundError, NotADirectoryError):
        hint = nearest_path(path, path.parent.glob("*.y*ml"))
        raise UserError(f"no such {kind}: {path}{hint}") from None
    except RecursionError:
        raise UserError(f"{path} is not a {kind}: it is nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:  # of bytes, and of what is no number
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a {kind}: a mapping of keys was expected, in a YAML file")
    return data


def _expanded(root: yaml.Node | None) -> int:
    """How many values a document stands for, each counted as often as an alias repeats it; one
    that holds itself stands for infinitely many, which raises RecursionError."""
    known: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in known:
            inside = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = [part for one in inside for part in (one if isinstance(one, tuple) else [one])]
            known[id(node)] = 1 + sum(map(size, parts))
        return known[id(node)]

    return 0 if root is None else size(root)
