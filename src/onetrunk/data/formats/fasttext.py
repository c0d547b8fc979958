"""fastText's lines: labels, each with ``__label__`` before it, and then the text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, Table, blocks, show
from onetrunk.data.formats.text import lines
from onetrunk.errors import UserError

PREFIX = "__label__"


def fasttext(file: Path) -> Stream:
    """Return the columns ``text`` and ``labels``, a list; blank lines are passed over.

    The stream raises UserError for a line that does not begin with a label.
    """

    def read(names: object, optional: object) -> Iterator[Table]:
        numbered = ((number, line) for number, line in enumerate(lines(file), 1) if line.strip())
        for block in blocks(numbered):
            columns: dict[str, list[Any]] = {"text": [], "labels": []}
            for number, line in block:
                labels, text = _divided(line)
                if not labels:
                    raise UserError(
                        f"{file}:{number}: {show(line)} does not begin with a label; write "
                        "'__label__LABEL the text' on each line, as for fastText, or a CSV file"
                    )
                columns["text"].append(text)
                columns["labels"].append(labels)
            yield Table(str(file), columns, [number for number, _ in block], in_lines=True)

    return Stream(str(file), ["text", "labels"], read)


def _divided(line: str) -> tuple[list[str], str]:
    """The labels at the start of a line, and the text behind them."""
    labels, text = [], line.strip()
    while text.startswith(PREFIX):
        label, *rest = text.split(maxsplit=1)
        labels.append(label.removeprefix(PREFIX))
        text = "".join(rest)
    return labels, text
