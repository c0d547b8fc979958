"""How blocks of words become tuples, so that the modules of templates can be plain text."""

from __future__ import annotations


def lines(block: str) -> tuple[str, ...]:
    """One template a line."""
    return tuple(line.strip() for line in block.strip().splitlines() if line.strip())


def groups(block: str) -> tuple[tuple[str, ...], ...]:
    """Groups of templates, a blank line between two."""
    return tuple(lines(group) for group in block.strip().split("\n\n"))


def values(block: str) -> tuple[str, ...]:
    """Values with semicolons between them, wrapped anywhere."""
    return tuple(" ".join(value.split()) for value in block.split(";"))
