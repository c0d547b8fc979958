"""Figures of what grows: curves over a size, on a scale of its logarithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from statistics import linear_regression
from typing import Any

from svg import Drawing

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 250, 210


def growth(found: Any, across: bool) -> str:
    """Scores of both families by the steps of stage 1, for each strategy; the families side by
    side or one below the other."""
    drawing = Drawing(772, 330) if across else Drawing(390, 640)
    marks = {"none": ("rule", "none"), "ner": ("nerl", "ner"), "tc": ("tcl", "tc"),
             "joint": ("line dash", "layer"), "tpl": ("line thick", "tip")}  # fmt: skip
    spoken = []
    for number, (family, said) in enumerate(
        (("ner", "NER, F1"), ("tc", "classification, accuracy"))
    ):
        scores = {name: row["mean"] for name, row in found["tables"][f"linear {family}"].items()}
        none = scores.pop("none")
        curves: dict[str, list[tuple[float, float]]] = {}
        for name, score in scores.items():
            strategy, steps = name.split("-")
            curves.setdefault(strategy, []).append((int(steps), score))
        curves = {name: sorted(points) for name, points in curves.items()}
        curves["none"] = [(steps, none) for steps, _ in curves["tpl"]]
        drawing.at(36 + 376 * number * across, 56 + 310 * number * (not across))
        ends = {name: f"{name} {points[-1][1]:.1f}" for name, points in curves.items()}
        panel(drawing, said, "steps of stage 1", curves, marks, ends, trend=True)
        for name, points in curves.items():
            shown = ", ".join(f"{score} after {steps} steps" for steps, score in points)
            spoken.append(f"{said}, {name}: {none if name == 'none' else shown}")
    return drawing.svg(
        "Scores by the steps of stage 1",
        "MiniLM that forgot its sentences; means of four NER and four classification sets, linear "
        f"apps on 500 rows. {'; '.join(spoken)}.",
        ["results/growth.json"],
    )


def sizes(found: Any, across: bool) -> str:
    """Time by the number of apps that answer a text, and by the number of rows that one learns."""
    drawing = Drawing(806, 330) if across else Drawing(420, 640)
    marks = {"int8 bundle": ("tcl", "tc"), "engine": ("line", "layer"),
             "classification": ("tcl", "tc"), "NER": ("nerl", "ner")}  # fmt: skip
    spoken = []
    for number, (of, unit) in enumerate((("apps", "milliseconds"), ("rows", "seconds"))):
        curves: dict[str, list[tuple[float, float]]] = {}
        looks, ends = {}, {}
        for name, one in found["curves"].items():
            if one["of"] != of:
                continue
            who, how = name.split(", ")
            line, dot = marks[who]
            alone = how in ("heads alone", "linear")
            curves[name] = list(zip(one["sizes"], one[unit], strict=True))
            looks[name] = (f"{line} dash" if alone else line, dot)
            short = {"int8 bundle": "bundle", "classification": "texts"}.get(who, who)
            last = one[unit][-1]
            said = f"{last:,.0f}" if last >= 100 else f"{last:.3g}"
            ends[name] = f"{short}, {'head' if alone else 'LoRA'} {said}"
            shown = ", ".join(f"{value:.3g} at {size:,}" for size, value in curves[name])
            slope = one["exponents"][unit]["all sizes"]
            spoken.append(f"{name}, {unit} by {of}: {shown}; exponent {slope}")
        drawing.at(28 + 396 * number * across, 56 + 310 * number * (not across))
        panel(drawing, unit, of, curves, looks, ends, logarithmic=True)
    return drawing.svg(
        "Time by the number of apps and of labelled rows",
        f"{'. '.join(spoken)}.",
        ["results/sizes.json"],
    )


def panel(
    drawing: Drawing,
    title: str,
    of: str,
    curves: Mapping[str, Points],
    marks: Mapping[str, tuple[str, str]],
    ends: Mapping[str, str],
    logarithmic: bool = False,
    trend: bool = False,
) -> None:
    """Curves over the logarithm of a size, each with its name at the right end.

    ``marks``: by curve, how its line and its dots look. ``logarithmic``: heights are logarithms,
    too. ``trend``: with the line of least squares through each curve, pale and dashed.
    """

    def height(value: float) -> float:
        return log10(value) if logarithmic else value

    every = sorted({size for points in curves.values() for size, _ in points})
    values = [height(value) for points in curves.values() for _, value in points]
    room = 0.05 * (max(values) - min(values))
    low, high = min(values) - room, max(values) + room

    def along(size: float) -> float:
        return 20 + (WIDTH - 20) * log10(size / every[0]) / log10(every[-1] / every[0])

    def place(size: float, value: float) -> tuple[float, float]:
        return along(size), HEIGHT * (high - height(value)) / (high - low)

    drawing.text(WIDTH / 2, -26, title, "small bold")
    drawing.line([(0, HEIGHT + 8), (WIDTH + 8, HEIGHT + 8)], "rule")
    for size in every:
        drawing.text(along(size), HEIGHT + 28, f"{size:,}")
    drawing.text(WIDTH / 2, HEIGHT + 52, of, "small pale")
    for name, points in curves.items():
        line, dot = marks[name]
        if trend:
            slope, start = linear_regression(*zip(*((log10(x), y) for x, y in points), strict=True))
            drawing.line([place(x, start + slope * log10(x)) for x, _ in points], "rule dash")
        drawing.line([place(*point) for point in points], line)
        for point in points if dot != "none" else ():
            drawing.dot(*place(*point), 4, dot)
    below = -100.0
    for name, points in sorted(curves.items(), key=lambda curve: -curve[1][-1][1]):
        x, y = place(*points[-1])
        below = max(y + 5, below + 15)  # names are not written over each other
        drawing.text(x + 10, below, ends[name], "small bold" if name == "tpl" else "small", "start")
