"""One app from labelled rows in a process of its own, for ``teach.py``: score, time, memory.

    python taught.py JOB.json

The job: ``way`` (``teach``, ``adapt`` or ``setfit``), ``place`` (a bundle; a backbone), ``family``,
``train`` and ``test`` (rows), ``threads``. Prints one JSON object. Only those ways import PyTorch
that need it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

JOB: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
os.environ |= {"OMP_NUM_THREADS": str(JOB["threads"]), "HF_HUB_OFFLINE": "1"}

from onetrunk.families import family as family_named  # noqa: E402

KIND = family_named(JOB["family"])
TEST = KIND.read(JOB["test"])


def teach() -> tuple[dict[str, Any], Any]:
    from onetrunk.bundle.runtime import Runtime

    start = time.perf_counter()
    runtime = Runtime(JOB["place"], [], JOB["threads"])
    opened = time.perf_counter() - start
    score = runtime.teach("app", JOB["family"], JOB["train"])
    told = {"seconds": score.seconds, "open_seconds": opened, "cross_validated": score.value}
    chosen = {"penalty": score.penalty, "head_layers": score.head_layers}
    return {**told, **chosen}, lambda: runtime.predict_examples("app", TEST)


def adapt() -> tuple[dict[str, Any], Any]:
    import torch

    import onetrunk
    from onetrunk.apps.engine import Engine
    from onetrunk.model.backbone import Backbone

    torch.set_num_threads(JOB["threads"])
    start = time.perf_counter()
    backbone = Backbone.load(JOB["place"])
    opened = time.perf_counter() - start
    start = time.perf_counter()
    app = onetrunk.adapt(backbone, JOB["family"], JOB["train"], adapter="linear", precision="fp32")
    told = {"seconds": time.perf_counter() - start, "open_seconds": opened}
    chosen = {"penalty": app.record["l2"], "head_layers": app.head_layers}
    engine = Engine(backbone, {"app": app})
    return {**told, **chosen}, lambda: engine.predict_examples("app", TEST)


def setfit() -> tuple[dict[str, Any], Any]:
    """SetFit as its documentation runs it: 20 pairs for each row and kind."""
    import contrastive
    import torch

    torch.set_num_threads(JOB["threads"])
    start = time.perf_counter()
    model = contrastive.load(JOB["place"])
    opened = time.perf_counter() - start
    seconds = contrastive.train(model, KIND.read(JOB["train"]), 20)
    told = {"seconds": seconds, "open_seconds": opened}
    return told, lambda: contrastive.predict(model, TEST)


def peak_mib() -> int | None:
    """The most memory that this process has had; getrusage would count the one that started it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return round(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)


def main() -> None:
    told, predictions = {"teach": teach, "adapt": adapt, "setfit": setfit}[JOB["way"]]()
    memory = peak_mib()
    scores = KIND.score(TEST, predictions())
    rounded = {key: value if value is None else round(value, 4) for key, value in told.items()}
    result = {"score": round(scores[KIND.metric], 2), **rounded, "peak_mib": memory}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
