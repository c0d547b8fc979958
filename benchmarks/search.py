"""A better stage 1 for the same minutes: every configuration that was tried.

    python benchmarks/search.py DATA ENCODER [--threads 1] [--only NAME ...] [--collect]

ENCODER is the folder of a control (``control.py --from``). Each trial changes a few keys of
``recipes/tpl.yaml``; trials of classification alone (``tc``) look for what helps pairs, trials of
``tpl`` check the choice with both families. Apps are linear, of 500 rows, on development sets that
are none of the suite's; stage 1 leaves out what their test rows and the suite's hold. Work is
shared and resumed as in ``strategies.py``: backbones are in ``runs/search``, scores in
``results/search-parts.json``. ``--collect`` writes ``results/search.json`` from what is finished.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.benchmark.jobs import Job, work
from onetrunk.config import Recipe, load_recipe
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.run import prefinetune
from onetrunk.storage import read_json, write_json
from shared import ROWS, Parts, environment, file_job, public, scores_of
from strategies import RECIPE, SUITE

RUN = Path("runs/search")
RESULT = Path("results/search.json")
NER_SETS = ("gum", "finer_ord", "cyner", "e_ner_edgar")
TC_SETS = (
    "hwu64_intent", "yelp5_subset", "searchsnippets", "mpqa",
    "bbc_news", "liar", "amazon_counterfactual_en_ext",
)  # fmt: skip
DRAWS = (0, 1, 2)


@dataclass(frozen=True)
class Trial:
    """One configuration: a strategy, its steps, and what it changes in the recipe."""

    name: str
    steps: int = 400
    strategy: str = "tc"
    tc: dict[str, Any] = field(default_factory=dict)
    ner: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    more_sources: tuple[str, ...] = ()
    """Folders of pairs in ``runs/search/pairs`` beside the recipe's (``labelled_pairs.py``)."""
    left_out: tuple[str, ...] = ()
    """Sources of the recipe that are not used."""

    @property
    def folder(self) -> Path:
        return RUN / "backbones" / self.name

    @property
    def sets(self) -> dict[str, str]:
        """The development sets that it is scored on, with their families."""
        ner = {} if self.strategy == "tc" else dict.fromkeys(NER_SETS, "ner")
        return ner | dict.fromkeys(TC_SETS, "tc")


BY_LABEL = tuple(
    f"{name}_by_label"
    for name in (
        "arxiv_title_abstract", "20ng_subject_body", "reuters21578_title_body", "sgd_turn_response",
    )
)  # fmt: skip
SMALL = ("disfl_qa", "msrp_paraphrase", "scitldr_tldr_abstract", "sick_related")

TRIALS = (
    Trial("none", 1, "none"),
    Trial("32 pairs"),
    Trial("128 pairs, a quarter of the steps", 100, tc={"batch_size": 128}),
    Trial("128 pairs", tc={"batch_size": 128}),
    Trial("temperature 0.02", tc={"temperature": 0.02}),
    Trial("temperature 0.1", tc={"temperature": 0.1}),
    Trial("rates doubled", optimizer={"backbone_lr": 4e-4, "lora_lr": 2e-3}),
    Trial("rates halved", optimizer={"backbone_lr": 1e-4, "lora_lr": 5e-4}),
    Trial("sources evenly", tc={"exponent": 0.0}),
    Trial("rows evenly", tc={"exponent": 1.0}),
    Trial("learned temperature", tc={"learn_temperature": True}),
    Trial("cls", top={"pooling": "cls"}),
    Trial("pairs by label, too", more_sources=BY_LABEL),
    Trial("texts of 96 tokens", tc={"max_length": 96}),
    Trial("texts of 24 tokens, twice the steps", 800, tc={"max_length": 24}),
    Trial("k = 2", top={"k": 2}),
    Trial("sources of 10,000 rows and more", left_out=SMALL),
    Trial("tpl, 32 pairs", 400, "tpl"),
    Trial("tpl, 128 pairs", 400, "tpl", tc={"batch_size": 128}),
    Trial("tpl, 128 pairs, weight 1", 400, "tpl", tc={"batch_size": 128, "weight": 1.0}),
)  # fmt: skip


def recipe_of(data: Path, encoder: str, trial: Trial) -> Recipe:
    against = [str(data / kind / task) for kind in SUITE for task in SUITE[kind].split()]
    against += [str(data / "ner" / task) for task in NER_SETS]
    against += [str(data / "tc" / task) for task in TC_SETS]
    recipe = load_recipe(
        RECIPE, strategy=trial.strategy, steps=trial.steps, encoder=encoder,
        decontaminate={"against": against}, **trial.top,
    )  # fmt: skip
    sources = [
        source
        for source in recipe.families["tc"]["sources"]
        if Path(source["path"]).name not in trial.left_out
    ]
    added = [{"path": str((RUN / "pairs" / name).resolve())} for name in trial.more_sources]
    recipe.families["tc"] |= trial.tc | {"sources": [*sources, *added]}
    recipe.families["ner"] |= trial.ner
    recipe.optimizer = recipe.optimizer.model_copy(update=trial.optimizer)
    return recipe


def jobs(data: Path, encoder: str, trials: list[Trial], parts: Parts) -> list[Job]:
    listed = []
    for trial in trials:
        train = partial(prefinetune, recipe_of(data, encoder, trial), trial.folder, resume=True)
        listed.append(file_job(trial.folder, train))
        for task in trial.sets:
            score = partial(_score, data, trial, task)
            listed.append(parts.job(f"{trial.name}.{task}", score, trial.folder))
        listed.append(parts.job(f"{trial.name}.run", partial(_run, trial), trial.folder))
    return listed


def _score(data: Path, trial: Trial, task: str) -> dict[str, Any]:
    draws = {f"{seed}": AdaptSettings(adapter="linear", seed=seed) for seed in DRAWS}
    return scores_of(Backbone.load(trial.folder), data, trial.sets[task], task, draws)


def _run(trial: Trial) -> dict[str, Any]:
    record = read_json(trial.folder / "onetrunk.json", "a backbone")
    return {key: record[key] for key in ("steps", "useful_tokens", "seconds") if key in record}


def row(trial: Trial, parts: Parts) -> dict[str, Any] | None:
    """Means over draws by set, and over the sets of each family; None while cells are missing."""
    if any(f"{trial.name}.{task}" not in parts for task in (*trial.sets, "run")):
        return None
    scores = {
        task: mean(
            parts[f"{trial.name}.{task}"][f"{draw}"][family_named(kind).metric] for draw in DRAWS
        )
        for task, kind in trial.sets.items()
    }
    means = {
        f"{kind} mean": round(mean(scores[task] for task, of_kind in trial.sets.items()
                                   if of_kind == kind), 2)
        for kind in dict.fromkeys(trial.sets.values())
    }  # fmt: skip
    changes = trial.tc | trial.ner | trial.optimizer | trial.top
    if trial.more_sources or trial.left_out:
        changes |= {"more_sources": trial.more_sources, "left_out": trial.left_out}
    return {
        "strategy": trial.strategy,
        "steps": trial.steps,
        "changes": changes,
        **means,
        **{task: round(score, 2) for task, score in scores.items()},
        "stage 1": parts[f"{trial.name}.run"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these trials")
    parser.add_argument("--collect", action="store_true", help="compute nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data, encoder, parts = options.data.resolve(), str(options.encoder.resolve()), Parts("search")
    chosen = [trial for trial in TRIALS if not options.only or trial.name in options.only]
    if not options.collect:
        work(jobs(data, encoder, chosen, parts))
    parts.pack()
    tables = {trial.name: found for trial in TRIALS if (found := row(trial, parts))}
    write_json(
        RESULT,
        {
            "what": f"stage 1 on the control, then linear apps of {ROWS} rows, three draws, on "
            "development sets that are none of the suite's",
            "metrics": {"ner": "strict entity micro-F1", "tc": "accuracy"},
            "trials": tables,
            "recipe": public(recipe_of(data, encoder, TRIALS[1])) | {"encoder": "the control"},
            **environment(),
        },
    )
    for name, found in tables.items():
        print(f"{name:40} {found.get('ner mean', ''):>6} {found['tc mean']:>6}")


if __name__ == "__main__":
    main()
