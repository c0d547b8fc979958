"""The tasks of peft_tasks.py behind LitServe, which gathers requests into batches.

python litserve_server.py FOLDER --port 8001 [--threads 2] [--way mixed] [--bf16]
"""

from __future__ import annotations

import argparse
from typing import Any

import litserve
import torch
from peft_tasks import Tasks, options

MAX_BATCH, BATCH_SECONDS = 64, 0.002


class Api(litserve.LitAPI):  # type: ignore[misc]
    """One text a request, ten tasks each."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        super().__init__(
            max_batch_size=MAX_BATCH, batch_timeout=BATCH_SECONDS, api_path="/v1/predict"
        )
        self.chosen = chosen

    def setup(self, device: str) -> None:
        torch.set_num_threads(self.chosen.threads)
        self.tasks = Tasks(self.chosen.folder, self.chosen.way, self.chosen.bf16)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads types
        return request["texts"][0]

    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        return self.tasks.answers(texts)

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return {"results": [output]}


if __name__ == "__main__":
    chosen = options()
    server = litserve.LitServer(Api(chosen), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=chosen.port, generate_client_file=False, log_level="warning")
