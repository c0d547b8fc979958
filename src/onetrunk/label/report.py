"""The report of a labelling run, for a person to judge: report.json, report.md and types.png."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.label.base import Entity
from onetrunk.storage import write_json

EXAMPLES = 5
TYPES_LISTED = 1000
TYPES_IN_TABLE = 100
TYPES_IN_PLOT = 20
_RETRIES = "retries: "


class Tally:
    """Adds up rows, words, entities, and the events that the labeler counted."""

    def __init__(self) -> None:
        self.rows = self.words = self.entities = self.without_entities = 0
        self.failed = self.without_words = 0
        self.counts: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(
        self,
        text: str,
        words: int,
        entities: Sequence[Entity],
        counts: Mapping[str, int],
        error: str,
    ) -> None:
        """Count a text of ``words`` words. With an ``error`` or without words it is no training
        row."""
        self.counts.update(counts)
        if error:
            self.failed += 1
            return
        if not words:
            self.without_words += 1
            return
        self.rows += 1
        self.words += words
        self.entities += len(entities)
        self.without_entities += not entities
        for start, end, type in entities:
            self.types[type] += 1
            examples = self.examples.setdefault(type, [])
            example = " ".join(text[start:end].split())
            if len(examples) < EXAMPLES and example not in examples:
                examples.append(example)

    def as_json(self) -> dict[str, Any]:
        """The report. It lists the most frequent types, and says how many there are in all."""
        counts = {name: count for name, count in sorted(self.counts.items()) if count}
        hallucinated = counts.pop("hallucinated", 0)
        retries = {
            name.removeprefix(_RETRIES): counts.pop(name)
            for name in list(counts)
            if name.startswith(_RETRIES)
        }
        by_frequency = sorted(self.types.items(), key=lambda item: (-item[1], item[0]))
        return {
            "texts": self.rows + self.failed + self.without_words,
            "rows": self.rows,
            "failed": self.failed,
            "without_words": self.without_words,
            "words": self.words,
            "entities": self.entities,
            "entities_per_100_words": _ratio(100 * self.entities, self.words),
            "share_without_entities": _ratio(self.without_entities, self.rows),
            "hallucinated": hallucinated,
            "retries": sum(retries.values()),
            "retries_by_reason": retries,
            "counts": counts,
            "types_in_all": len(self.types),
            "types": [
                {"type": type, "count": count, "examples": self.examples[type]}
                for type, count in by_frequency[:TYPES_LISTED]
            ],
        }


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write ``report.json``, ``report.md`` and, if there are entities, ``types.png``."""
    write_json(folder / "report.json", dict(report))
    (folder / "report.md").write_text(as_markdown(report), encoding="utf-8")
    if report["types"]:
        _plot(report["types"], folder / "types.png")


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    facts = {
        **{_title(key): value for key, value in report.items() if isinstance(value, int | float)},
        **{f"Retries: {reason}": count for reason, count in report["retries_by_reason"].items()},
        **{_title(name): count for name, count in report["counts"].items()},
        **{name: note["count"] for name, note in report.get("input_notes", {}).items()},
    }
    parts = [
        "# Weak labels",
        f"Labeler: `{report['labeler']}`",
        _table(("", ""), facts.items()),
        "The same command tries failed texts again. Hallucinated entities are not in the text.",
    ]
    if agreement := report.get("agreement"):
        facts = {name.replace("_", " "): value for name, value in agreement.items()}
        types = [item.values() for item in facts.pop("types")]
        parts += ["## Agreement with a second labeler", _table(("", ""), facts.items())]
        parts += [_table(("type", "type of the second", "same spans"), types)]
    rows = [
        (item["type"], item["count"], "; ".join(item["examples"]))
        for item in report["types"][:TYPES_IN_TABLE]
    ]
    parts += ["## Types", _table(("type", "entities", "examples"), rows)]
    if rows:
        parts += ["![The most frequent types](types.png)"]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _title(name: str) -> str:
    return name[0].upper() + name[1:].replace("_", " ")


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _ratio(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _plot(types: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    from onetrunk.figures import save_figure

    shown = list(types[:TYPES_IN_PLOT])[::-1]
    figure = Figure(figsize=(6, 0.8 + 0.25 * len(shown)), layout="constrained")
    axes = figure.subplots()
    names = [item["type"][:40].replace("$", r"\$") for item in shown]  # "$" would begin a formula
    axes.barh(names, [item["count"] for item in shown])
    axes.set_xlabel("entities")
    axes.set_title(f"{len(shown)} most frequent types of {len(types):,}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)
