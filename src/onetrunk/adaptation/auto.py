"""Which adapter an app needs: a linear head alone where it is as good, a LoRA where it is better.

A linear app costs next to nothing beside others on the device, a LoRA app k layers more. So the
costlier one must be better by more than the noise of the rows that judge it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.progress import Progress, silent

# Without validation rows: fewer training rows than this are all judged, each in one of five folds;
# of more rows, one fold alone is judged.
FEW_ROWS = 500
FOLDS = 5
RESAMPLES = 100


@dataclass(frozen=True)
class Tried:
    """A way to make the app, and what held-out rows said of it."""

    name: str
    score: float | None
    """The family's metric in percent; None: not done in time."""
    seconds: float


@dataclass(frozen=True)
class Choice:
    """The app that was chosen, and why."""

    app: App
    chosen: str
    tried: list[Tried]
    why: str


class _OutOfTime(Exception):
    pass


def choose_adapter(
    backbone: Backbone,
    family: Family[Any, Any],
    data: Data,
    settings: AdaptSettings,
    budget: float,
    progress: Progress = silent,
    judged: bool = False,
) -> Choice:
    """Try a linear app and one with a LoRA within ``budget`` seconds, and choose.

    Both are judged on the validation rows. Without any, training rows are held out to judge them,
    and the chosen app is then trained again on all training rows. The linear app is always tried,
    and training again comes on top of the budget. The LoRA is chosen if it is better by
    more than one standard error of the difference (bootstrap over the rows). ``judged`` is that of
    :func:`~onetrunk.adaptation.fit.fit`, for an app that is trained again.

    Raises :class:`UserError` as :func:`~onetrunk.adaptation.fit.fit` does.
    """
    ends = time.perf_counter() + budget
    ways = {
        "linear": replace(settings, adapter="linear"),
        # Its neighbours need validation rows.
        "lora": replace(
            settings, adapter="lora", neighbours=settings.neighbours and bool(data.validation)
        ),
    }
    trials = _Trials(backbone, family, data, settings.seed)
    tried: list[Tried] = []
    for name, way in ways.items():
        start = time.perf_counter()

        def watch(what: str, done: int, total: int | None, name: str = name) -> None:
            if name != "linear" and time.perf_counter() > ends:
                raise _OutOfTime
            progress(f"{name}: {what}", done, total)

        try:
            watch("trying", 0, 1)
            score: float | None = trials.fit(name, way, watch)
        except _OutOfTime:
            score = None
        tried.append(Tried(name, score, round(time.perf_counter() - start, 2)))
    chosen, why = trials.best(budget)
    app = trials.apps.get(chosen)
    if app is None:
        app = fit(backbone, family, data, ways[chosen], progress, judged)
    return Choice(app, chosen, tried, why)


class _Trials:
    """Predictions of each way for the rows that judge, all of them made without those rows."""

    def __init__(self, backbone: Backbone, family: Family[Any, Any], data: Data, seed: int) -> None:
        self.backbone, self.family, self.data = backbone, family, data
        self.parts = list(_parts(family, data, seed))
        self.rows = [row for part in self.parts for row in part.validation]
        self.predictions: dict[str, list[Any]] = {}
        self.apps: dict[str, App] = {}  # those trained on all rows: only with validation rows

    def fit(self, name: str, settings: AdaptSettings, progress: Progress) -> float:
        """Make the apps; the score of what they predict."""
        predictions: list[Any] = []
        for part in self.parts:
            # Rows that judge an app must not stop its training, too, unless the user gave them.
            fold = part if self.data.validation else replace(part, validation=[])
            app = fit(self.backbone, self.family, fold, settings, progress)
            engine = Engine(self.backbone, {name: app})
            predictions += engine.predict_examples(name, part.validation)
        self.predictions[name] = predictions
        if self.data.validation:
            self.apps[name] = app
        return round(self._score(range(len(self.rows)), name), 2)

    def best(self, budget: float) -> tuple[str, str]:
        """The name of the best way, and why it is."""
        if "lora" not in self.predictions:
            return "linear", f"the LoRA app was not done in {budget:g} s"
        if not self.rows:
            return "linear", "there are too few rows to judge a LoRA app"
        everything = range(len(self.rows))
        gain = self._score(everything, "lora") - self._score(everything, "linear")
        rng = np.random.default_rng(0)
        drawn = rng.integers(0, len(self.rows), (RESAMPLES, len(self.rows)))
        noise = float(
            np.std([self._score(rows, "lora") - self._score(rows, "linear") for rows in drawn])
        )
        how = f"{gain:+.1f} ± {noise:.1f} {self.family.metric} on {len(self.rows)} rows"
        if gain > noise:
            return "lora", f"the LoRA app is better by more than noise: {how}"
        return "linear", f"the LoRA app is not better by more than noise: {how}"

    def _score(self, rows: Sequence[int] | np.ndarray, name: str) -> float:
        predictions = self.predictions[name]
        scores = self.family.score([self.rows[i] for i in rows], [predictions[i] for i in rows])
        return scores[self.family.metric]


def _parts(family: Family[Any, Any], data: Data, seed: int) -> Iterator[Data]:
    """Splits into training rows and the rows that judge the app (in ``validation``). A split whose
    training rows teach nothing, since the only row of a label judges, is passed over."""
    if data.validation:
        yield data
        return
    rows = len(data.train)
    order = np.random.default_rng(seed).permutation(rows)
    folds = min(FOLDS, rows)
    for fold in range(folds if rows < FEW_ROWS else 1):
        held_out = set(order[fold::folds].tolist())
        train = [row for at, row in enumerate(data.train) if at not in held_out]
        if family.learnable(data.labels, train):
            yield Data(data.labels, train, [data.train[at] for at in sorted(held_out)])
