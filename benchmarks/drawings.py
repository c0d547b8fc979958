"""Drawings of the method, for README and ``docs/understand.md``."""

from __future__ import annotations

from svg import Drawing

PANEL = 330


def method(across: bool) -> str:
    """The three stages: side by side, or one below the other for a narrow screen."""
    stages = (pretrained, adapted, run)
    drawing = Drawing(3 * PANEL, 420) if across else Drawing(PANEL + 40, 1240)
    for number, stage in enumerate(stages):
        drawing.at(*((number * PANEL, 0) if across else (20, 416 * number)))
        stage(drawing)
        if number:
            way = [(0, 190), (44, 190)] if across else [(165, -14), (165, 8)]
            drawing.line(way, "line thick", tip=True)
    return drawing.svg(
        "The method in three steps",
        "Pre-finetuning trains an encoder on two task families; each family has a LoRA of its own "
        "on the last layers. Apps start from these LoRAs, with the backbone frozen. A device runs "
        "the lower layers once for a text, and the upper ones for each app.",
    )


def title(drawing: Drawing, said: str, below: str) -> None:
    drawing.text(165, 32, said, "head")
    drawing.text(165, 53, below)


def stack(drawing: Drawing, x: float, y: float, k: int = 3, step: float = 42) -> None:
    """Six layers, the last ``k`` with a LoRA of each family beside them."""
    for layer in range(6, 0, -1):
        top = y + step * (6 - layer)
        drawing.box(x, top, 92, 34, "layer")
        drawing.text(x + 46, top + 22, f"layer {layer}")
        for place, family in ((x + 100, "ner"), (x + 146, "tc")) if layer > 6 - k else ():
            drawing.box(place, top, 40, 34, family)
            drawing.text(place + 20, top + 22, "LoRA", "tiny")


def pretrained(drawing: Drawing) -> None:
    title(drawing, "1. Pre-finetune", "once, on weak data")
    for top, family, lines in (
        (92, "ner", ("texts with", "weak entities")), (192, "tc", ("pairs of texts", "that match")),
    ):  # fmt: skip
        drawing.box(6, top, 108, 48, family)
        drawing.text(60, top + 20, lines[0])
        drawing.text(60, top + 37, lines[1])
        drawing.line([(114, top + 24), (132, top + 24)], "line", True)
    stack(drawing, 136, 102)
    drawing.text(256, 92, "NER", "small nert")
    drawing.text(302, 92, "texts", "small tct")
    for line, said in enumerate(("one LoRA for", "each family;", "only its own", "loss trains it")):
        drawing.text(236, 252 + 17 * line, said, "tiny", "start")
    drawing.text(165, 386, "= the backbone, frozen from here on")


def adapted(drawing: Drawing) -> None:
    title(drawing, "2. Adapt", "seconds, from few labels")
    apps = (
        ("events", "ner", "LoRA + head"),
        ("contacts", "ner", "LoRA + head"),
        ("requests", "tc", "LoRA + head"),
        ("spam", "tc", "head alone"),
    )
    for number, (name, family, holds) in enumerate(apps):
        top = 92 + 62 * number
        drawing.box(60, top, 210, 48, family)
        drawing.text(165, top + 20, name, "bold")
        drawing.text(165, top + 38, holds, "small")
    drawing.text(165, 366, "each starts from its family's LoRA;")
    drawing.text(165, 386, "the backbone does not change")


def run(drawing: Drawing) -> None:
    title(drawing, "3. Run", "one pass, on the device")
    drawing.box(48, 76, 234, 310, "line thick", 22)
    drawing.box(66, 296, 198, 58, "layer")
    drawing.text(165, 320, "trunk: layers 1 to 3")
    drawing.text(165, 340, "once for a text")
    for number, (said, family) in enumerate(
        (("who", "ner"), ("tel", "ner"), ("type", "tc"), ("spam", "tc"))
    ):
        left = 66 + 50 * number
        drawing.box(left, 112, 46, 40, family, 20)
        drawing.text(left + 23, 137, said, "small")
        drawing.box(left, 194, 46, 60, family)
        drawing.text(left + 23, 220 if said != "spam" else 229, "top")
        if said != "spam":
            drawing.text(left + 23, 238, "LoRA")
        for bottom, top in ((294, 258), (192, 156)):
            drawing.line([(left + 23, bottom), (left + 23, top)], "line", True)
    drawing.text(165, 374, "a bundle: ONNX, no PyTorch", "small")


def gradients() -> str:
    """What each loss of stage 1 trains."""
    drawing = Drawing(520, 372)
    stack(drawing, 164, 70)
    drawing.text(210, 58, "encoder", "bold")
    for x, name, lines, family in (
        (8, "loss of NER", ("are names of one", "type alike?"), "ner"),
        (384, "loss of texts", ("are texts that", "match alike?"), "tc"),
    ):
        drawing.box(x, 10, 128, 66, family)
        drawing.text(x + 64, 30, name, "small bold")
        for line, said in enumerate(lines):
            drawing.text(x + 64, 48 + 17 * line, said, "tiny")
    drawing.line([(72, 76), (72, 340), (194, 340), (194, 318)], "nerl")
    drawing.line([(448, 76), (448, 340), (226, 340), (226, 318)], "tcl")
    drawing.line([(136, 24), (284, 24), (284, 66)], "nerl")
    drawing.line([(384, 34), (330, 34), (330, 66)], "tcl")
    drawing.text(210, 362, "both losses train the layers", "small")
    for line, said in enumerate(("only its own family's", "loss trains a LoRA")):
        drawing.text(272, 238 + 17 * line, said, "small", "start")
    return drawing.svg(
        "What each loss trains",
        "Six layers; the last three have a LoRA for NER and a LoRA for whole texts beside them. "
        "The loss of NER trains all layers and the LoRA of NER. The loss of texts trains all "
        "layers and the LoRA of texts. No loss trains the LoRA of the other family.",
    )


def passes() -> str:
    """Ten models, each whole, beside a trunk with ten tops and a trunk with heads alone."""
    drawing = Drawing(520, 300)
    cell, gap = 13, 3
    columns = (
        ("ten models", "60 layers", 0, [6] * 10),
        ("ten LoRA apps", "24 layers", 4, [2] * 10),
        ("ten linear apps", "8 layers", 4, [2, 2]),
    )
    for number, (name, count, trunk, tops) in enumerate(columns):
        left = 18 + 172 * number
        drawing.text(left + 78, 40, name, "small bold")
        drawing.text(left + 78, 276, count, "bold")
        for layer in range(trunk):
            drawing.box(left, 212 - 20 * layer, 10 * (cell + gap) - gap, 16, "layer", 3)
        for place, top in enumerate(tops):
            wide = (10 * (cell + gap)) / len(tops) - gap
            x = left + place * (wide + gap)
            family = "ner" if place < len(tops) / 2 else "tc"
            for layer in range(top):
                drawing.box(x, 212 - 20 * (trunk + layer), wide, 16, family, 3)
        for place in range(10):
            drawing.dot(left + 6.5 + place * (cell + gap), 94, 5, "ner" if place < 5 else "tc")
        drawing.text(
            left + 78,
            250,
            ("each reads the text", "one trunk, ten tops", "one trunk, two tops")[number],
            "tiny",
        )
    drawing.text(18, 72, "● heads: one for each app", "tiny", "start")
    return drawing.svg(
        "Layers that ten apps run over one text",
        "Ten separate models run six layers each: 60. Ten LoRA apps on one bundle run a trunk of "
        "four layers once and a top of two layers each: 24. Ten linear apps of two families run "
        "the trunk once and one top for each family: 8.",
    )
