"""Train a backbone with three families and score the third, before and after.

    python examples/inference_family/run.py DATA [--steps 200]

DATA holds the folder ``pre_pairs``; everything is written to ``runs/inference``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import weak_data
from onetrunk_nli import Inference, InferenceObjective

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.config import load_recipe
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.objectives import OBJECTIVES
from onetrunk.prefinetuning.run import prefinetune

OUT = Path("runs/inference")
RECIPE = Path(__file__).with_name("recipe.yaml")
TASKS = ("sick_0", "sick_1")


def main() -> None:
    """Build the data, run stage 1, and score apps on the bare encoder and on the new backbone."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    if Inference.name not in FAMILIES:  # it is if this folder was installed
        FAMILIES.add(Inference.name, Inference())
        OBJECTIVES.add(Inference.name, InferenceObjective)
    family = FAMILIES[Inference.name]

    weak_data.build(options.data, OUT / "data")
    recipe = load_recipe(RECIPE, steps=options.steps)
    prefinetune(recipe, OUT / "backbone", overwrite=True)
    for name in (recipe.encoder, str(OUT / "backbone")):
        backbone = Backbone.load(name)
        for task in TASKS:
            train, test = (
                family.read(OUT / f"data/nli/{task}/{split}.jsonl") for split in ("train", "test")
            )
            data = Data(family.label_set(train), train)
            apps = {
                "linear": fit(backbone, family, data, AdaptSettings(adapter="linear")),
                "lora": fit(backbone, family, data, AdaptSettings(adapter="lora")),
            }
            engine = Engine(backbone, apps)
            for adapter in apps:
                score = engine.score(adapter, test, task)[family.metric]
                print(f"{name}  {task}  {adapter}  {family.metric} {score:.1f}")


if __name__ == "__main__":
    main()
