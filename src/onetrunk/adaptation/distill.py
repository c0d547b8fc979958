"""Give a shallow app the accuracy of a costlier one: learn what that one answers (Hinton et al.
2015, arXiv 1503.02531), on texts that need no labels.

An app with a LoRA on every layer is better than one on the last few, most of all with little data,
but it shares no trunk with other apps. What it knows can be taught to one that does.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.apps.windows import OfUnits
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.precision import Precision
from onetrunk.progress import Progress, silent

# Of a labelled row's target, how much is its label; the rest is the teacher's answer.
LABEL_SHARE = 0.5


def deep_teacher(
    backbone: Backbone,
    family: Family[Any, Any],
    data: Data,
    settings: AdaptSettings,
    progress: Progress = silent,
) -> App:
    """An app on the same rows with a LoRA on every layer."""
    deep = replace(
        settings, adapter="lora", k=backbone.encoder.depth, head_layers=None, neighbours=False
    )
    return fit(backbone, family, data, deep, lambda what, *at: progress(f"teacher: {what}", *at))


def taught(
    teacher: App,
    backbone: Backbone,
    data: Data,
    unlabelled: Sequence[Any],
    precision: Precision = "auto",
) -> Data:
    """The rows and the ``unlabelled`` examples, with soft targets from the teacher's answers.

    ``backbone`` is the teacher's; it may differ from the backbone of the app to be trained.
    Raises :class:`UserError` if the teacher knows other labels.
    """
    if teacher.labels != data.labels:
        only = sorted(set(teacher.labels) ^ set(data.labels))
        raise UserError(
            f"the teacher has {len(teacher.labels)} labels, the training rows {len(data.labels)}; "
            f"only one of the two has {only[:5]}"
        )
    engine = Engine(backbone, {"teacher": teacher}, precision)
    soft_targets = engine.unit_probabilities("teacher", [*data.train, *unlabelled])
    for at, row in enumerate(data.train):
        soft_targets[at] = _mixed(teacher.family, row, soft_targets[at], data.labels)
    return replace(data, unlabelled=list(unlabelled), soft_targets=soft_targets)


def _mixed(family: Family[Any, Any], row: Any, answer: OfUnits, labels: Sequence[str]) -> OfUnits:
    """The answer, half of it the row's labels."""
    targets = torch.as_tensor(family.targets(row, answer.units, labels))
    gold = family.soft_targets(targets, answer.values.shape[1])
    return answer._replace(values=LABEL_SHARE * gold + (1 - LABEL_SHARE) * answer.values)
