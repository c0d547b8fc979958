"""Which rows of a file an app learnt from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onetrunk.data.sampling import save_subset
from onetrunk.errors import UserError
from onetrunk.storage import read_json

FILE = "rows.json"
"""In an app's folder: its rows, if they were drawn from more."""


@dataclass(frozen=True)
class Subset:
    """The rows of a file that an app learnt from, where it did not learn from all."""

    ids: list[int]
    """Row numbers, counted from zero."""
    draw: dict[str, Any]
    """How they were drawn."""
    sha256: str
    """Hash of the file."""

    def save(self, path: Path) -> None:
        """Write the row ids as JSON."""
        save_subset(path, self.ids, self.draw, self.sha256)

    @classmethod
    def load(cls, path: Path) -> "Subset":
        """Read what :meth:`save` wrote. Raises :class:`UserError` if it is damaged."""
        content = read_json(path, "an app's rows")
        try:
            return cls(content["ids"], content["what"], content["source_sha256"])
        except KeyError as missing:
            raise UserError(f"{path} is damaged: it has no {missing}") from None
