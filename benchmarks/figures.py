"""Make the figures of README and ``docs/`` from the files in ``results/``.

    python benchmarks/figures.py

Writes ``docs/figures/*.svg`` and the numbers of the interactive figure, and needs nothing but
Python itself. A test makes them again and compares. (The two pictures of the playground are made by
``benchmarks/playground.py``, the figures of a suite by ``onetrunk report``.)
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import linear_regression
from typing import Any

import drawings
import growing
from svg import Drawing

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
LAYERS = 6
SUITES = {
    "suite21": "tuned for sentences",
    "masked": "after it forgot them",
    "control": "from scratch, weak",
}


def results(name: str) -> Any:
    return json.loads((ROOT / "results" / name).read_text())


def changes(suite: str) -> dict[str, tuple[float, float]]:
    """Points of NER and classification that a strategy adds: linear apps, at most 1,000 rows."""
    found: dict[str, dict[str, float]] = {"ner": {}, "tc": {}}
    for one in results(f"{suite}/report/report.json")["comparisons"]:
        family, draw, adapter = one["column"]
        if (draw, adapter, one["first"]) == ("1000-rows", "linear", "tpl"):
            found[family][one["second"]] = one["over_seeds"]["mean"]
    ner, tc = ({"tpl": 0.0} | found[family] for family in ("ner", "tc"))
    names = ("ner", "tc", "joint", "tpl")
    return {name: (ner["none"] - ner[name], tc["none"] - tc[name]) for name in names}


def families(across: bool) -> str:
    """What each strategy does to both families, for three encoders, side by side or one below the
    other."""
    drawing = Drawing(772, 330) if across else Drawing(300, 900)
    for number, (suite, said) in enumerate(SUITES.items()):
        drawing.at(46 + 252 * number * across, 66 + 290 * number * (not across))
        size, (left, right), (low, high) = 210, (-3.0, 7.5), (-3.5, 4.5)

        def place(x: float, y: float) -> tuple[float, float]:
            return size * (x - left) / (right - left), size * (high - y) / (high - low)  # noqa: B023

        drawing.text(size / 2, -12, said, "small bold")
        drawing.box(0, 0, size, size, "rule", 0)
        drawing.line([place(left, 0), place(right, 0)], "rule")
        drawing.line([place(0, low), place(0, high)], "rule")
        for value in (-2, 2, 4, 6):
            drawing.text(place(value, 0)[0], size + 16, f"{value:+}", "tiny pale")
        for value in (-2, 0, 2, 4) if not number or not across else ():
            drawing.text(
                -6, place(0, value)[1] + 4, f"{value:+}" if value else "0", "tiny pale", "end"
            )
        drawing.text(size / 2, size + 36, "points of NER →", "small pale")
        drawing.dot(*place(0, 0), 5, "none")
        for name, (x, y) in {"none": (0.0, 0.0), **changes(suite)}.items():
            right_of, down = place(x, y)
            side = {"tpl": 1, "tc": 1, "joint": -1, "none": -1}.get(name, 0)
            if name != "none":
                drawing.dot(right_of, down, 6, {"tpl": "tip", "joint": "layer"}.get(name, name))
            drawing.text(
                right_of + 10 * side, down + (5 if side else 22), name,
                "small bold" if name == "tpl" else "small", ("middle", "start", "end")[side],
            )  # fmt: skip
    drawing.at(0, 0)
    drawing.text(8, 18, "points of classification ↑", "small pale", "start")
    said = {suite: changes(suite) for suite in SUITES}
    spoken = "; ".join(
        f"{SUITES[suite]}: "
        + ", ".join(f"{name} {x:+.1f} and {y:+.1f}" for name, (x, y) in values.items())
        for suite, values in said.items()
    )
    return drawing.svg(
        "What stage 1 does to both families",
        f"Points added to NER and to classification, linear apps of up to 1,000 rows. {spoken}.",
        [f"results/{suite}/report/report.json" for suite in SUITES],
    )


def lines(
    drawing: Drawing, curves: dict[str, list[float]], names: list[str], scale: tuple[float, float],
    kinds: dict[str, str],
) -> None:  # fmt: skip
    """Curves over columns of equal width, each value written beside its point."""
    width, height, (low, high) = 420.0, 210.0, scale
    step = width / (len(names) - 1)
    for number, name in enumerate(names):
        drawing.text(step * number, height + 34, name, "small")
    drawing.line([(-14, height + 14), (width + 14, height + 14)], "rule")
    for said, values in curves.items():
        points = [
            (step * number, height * (high - value) / (high - low))
            for number, value in enumerate(values)
        ]
        kind = kinds[said]
        drawing.line(points, f"{kind}l" if kind in ("ner", "tc") else "line dash")
        for (x, y), value in zip(points, values, strict=True):
            drawing.dot(x, y, 5, kind if kind in ("ner", "tc") else "layer")
            drawing.text(x, y + (24 if kind == "layer" else -12), f"{value + 1e-9:.1f}", "small")


def rows() -> str:
    """How good an app is after 20, 50 and 200 labelled rows."""
    found = {
        (one["family"], one["rows"]): one["score"]
        for one in results("teach.json")["summary"]
        if one["way"] == "adapt linear"
    }
    names = ["20 rows", "50 rows", "200 rows"]
    curves = {family: [found[family, name] for name in names] for family in ("ner", "tc")}
    drawing = Drawing(520, 320)
    drawing.text(18, 26, "classification: accuracy, %", "small bold tct", "start")
    drawing.text(18, 46, "NER: strict F1, %", "small bold nert", "start")
    drawing.at(50, 56)
    lines(drawing, curves, names, (20, 85), {"ner": "ner", "tc": "tc"})
    spoken = "; ".join(
        f"{name}: NER {ner}, classification {tc}"
        for name, ner, tc in zip(names, curves["ner"], curves["tc"], strict=True)
    )
    return drawing.svg(
        "Scores by number of labelled rows",
        f"Means of four NER and four classification sets, linear apps, bare encoder. {spoken}.",
        ["results/teach.json"],
    )


def depth() -> str:
    """F1 by the number of layers that an app's LoRA is on, with and without a teacher."""
    curve = {name: one["f1"] for name, one in results("depth.json")["curve"].items()}
    cost = results("depth.json")["cost_of_one_more_app_in_percent_of_a_pass"]
    pass_of = {"0": "k=3", "2": "k=2", "3": "k=3", "6": "k=2"}
    names = list(pass_of)
    own = [curve[f"k={k}"] for k in names]
    taught = [curve[f"taught k={k}"] for k in names[:3]]
    drawing = Drawing(520, 358)
    drawing.text(18, 26, "NER, strict F1 in %; 500 labelled rows", "small bold", "start")
    drawing.text(18, 46, "blue: taught by the app of k = 6", "small tct", "start")
    drawing.at(50, 40)
    said = [f"k = {k}" for k in names]
    lines(drawing, {"own": own, "taught": taught}, said, (57, 64), {"own": "layer", "taught": "tc"})
    for number, (k, of) in enumerate(pass_of.items()):
        share = cost[f"backbone of {of}"][f"k={k}"]
        drawing.text(
            140 * number, 264, f"{share:.0f} %" if share > 1 else f"{share} %", "small pale"
        )
    drawing.at(0, 0)
    drawing.text(260, 332, "cost of one more app, in percent of a pass", "small pale")
    return drawing.svg(
        "Accuracy and cost by k",
        f"F1 for k = {', '.join(names)}: {', '.join(map(str, own))}. Taught, for k = 0, 2, 3: "
        f"{', '.join(map(str, taught))}.",
        ["results/depth.json"],
    )


def numbers() -> dict[str, float]:
    """What the interactive figure computes with: bytes and milliseconds of a bundle in 8 bits.

    The four measured ways differ in how many layers run: those of the trunk once, those of the top
    for each LoRA of an app and for each primary LoRA that linear apps read under. A line through
    them gives the milliseconds of a layer, and what a request costs besides.
    """
    found = results("bundle-vs-models.json")
    k, apps = 2, 10
    size, times = found["bytes"], found["milliseconds"]
    tops = {"bundle int8": apps, "bundle int8, half heads alone": apps // 2 + 2,
            "bundle int8, heads alone": 2, "bundle int8, one app": 1}  # fmt: skip
    run = {name: LAYERS - k + k * count for name, count in tops.items()}
    fit = linear_regression(list(run.values()), [times[name]["p50"] for name in run])
    lora = (size["bundle int8"]["lora_app"] - size["bundle int8"]["linear_app"]) / k
    return {
        "layers": LAYERS,
        "kilobytes_of_backbone": round(
            size["bundle int8"]["backbone"] / 1000 - 2 * k * lora / 1000
        ),
        "kilobytes_of_lora_layer": round(lora / 1000),
        "kilobytes_of_head": round(size["bundle int8"]["linear_app"] / 1000),
        "kilobytes_of_model": round(size["separate int8"]["one"] / 1000),
        "ms_of_request": round(fit.intercept, 2),
        "ms_of_layer": round(fit.slope, 3),
        "ms_of_model": times["separate int8, one"]["p50"],
    }


def cost(apps: int, linear: int, k: int) -> tuple[float, float, float, float]:
    """Megabytes and milliseconds of a bundle, and of a model for each app. As ``app-cost.js``."""
    n = numbers()
    lora = apps - linear
    tops = lora + min(linear, 2)
    bundle = n["kilobytes_of_backbone"] + apps * n["kilobytes_of_head"]
    bundle += (lora + 2) * k * n["kilobytes_of_lora_layer"]
    ms = n["ms_of_request"] + n["ms_of_layer"] * (n["layers"] - k + k * tops)
    return bundle / 1000, ms, apps * n["kilobytes_of_model"] / 1000, apps * n["ms_of_model"]


def figures() -> dict[str, str]:
    """Every file, by name."""
    measured = f"const MEASURED = {json.dumps(numbers(), indent=2)};\n"
    source = "// made by benchmarks/figures.py from results/bundle-vs-models.json\n"
    return {
        "method.svg": drawings.method(across=True),
        "method-tall.svg": drawings.method(across=False),
        "gradients.svg": drawings.gradients(),
        "passes.svg": drawings.passes(),
        "families.svg": families(across=True),
        "families-tall.svg": families(across=False),
        "rows.svg": rows(),
        "growth.svg": growing.growth(results("growth.json"), across=True),
        "growth-tall.svg": growing.growth(results("growth.json"), across=False),
        "sizes.svg": growing.sizes(results("sizes.json"), across=True),
        "sizes-tall.svg": growing.sizes(results("sizes.json"), across=False),
        "depth.svg": depth(),
        "app-cost-numbers.js": source + measured,
    }


def main() -> None:
    for name, content in figures().items():
        (FIGURES / name).write_text(content, encoding="utf-8")
        print(FIGURES / name)


if __name__ == "__main__":
    main()
