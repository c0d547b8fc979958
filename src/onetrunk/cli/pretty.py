"""Predictions as a person reads them."""

from typing import Any

from rich.text import Text

from onetrunk.cli.console import printable
from onetrunk.data.strict_json import json_text
from onetrunk.data.words import is_blank

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")


def pretty(result: dict[str, Any]) -> Text:
    """One text with what every app found in it: entities marked in place, labels with bars."""
    out = Text()
    text = None if result["text"] is None else printable(result["text"])
    shown = "(no text)" if text is None else text or "(empty text)"
    out.append(shown, style="bold").append("\n")
    if "error" in result:
        return out.append(f"  error: {result['error']}\n", style="red")
    width = max(map(len, result["apps"]))
    for name, found in result["apps"].items():
        out.append(f"  {name:>{width}}  ", style="dim")
        if "entities" in found:
            out.append_text(_entities(text or "", found["entities"]))
        elif "labels" in found:
            out.append_text(_labels(found, result["text"]))
        else:  # a family that shows something else
            out.append(f"{found['value']:g}" if list(found) == ["value"] else json_text(found))
        out.append("\n")
    return out


def _entities(text: str, entities: list[dict[str, Any]]) -> Text:
    if not entities:
        return Text("–", style="dim")
    types = sorted({entity["type"] for entity in entities})
    out, at = Text(style="default"), 0
    for entity in entities:
        colour = _COLOURS[types.index(entity["type"]) % len(_COLOURS)]
        out.append(text[at : entity["start"]], style="dim")
        out.append(f"[{text[entity['start'] : entity['end']]}", style=f"bold {colour}")
        out.append(f" {printable(entity['type'])}]", style=colour)
        at = max(at, entity["end"])  # the next one may stand in this one
    return out.append(text[at:], style="dim")


def _labels(found: dict[str, Any], text: str) -> Text:
    out = Text(style="default")
    nothing = "(no label)"
    if found.get("abstained"):
        nothing = f"(no label: {'empty text' if is_blank(text) else 'not sure'})"
    out.append(printable(", ".join(found["labels"])) or nothing, style="bold cyan")
    for label, probability in list(found["probabilities"].items())[:3]:
        bar = "█" * round(8 * probability) or "▏"
        out.append(f"   {printable(label)} {probability:.0%} ", style="dim")
        out.append(bar, style="cyan")
    return out
