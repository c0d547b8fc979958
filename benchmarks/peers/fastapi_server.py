"""The tasks of peft_tasks.py behind plain FastAPI: one request at a time.

python fastapi_server.py FOLDER --port 8001 [--threads 2] [--way mixed] [--bf16]
"""

from __future__ import annotations

import threading
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from peft_tasks import Tasks, options


def main() -> None:
    chosen = options()
    torch.set_num_threads(chosen.threads)
    tasks = Tasks(chosen.folder, chosen.way, chosen.bf16)
    lock, app = threading.Lock(), FastAPI()

    @app.post("/v1/predict")
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        with lock:  # the active adapter is a state of the model
            return {"results": tasks.answers(body["texts"])}

    uvicorn.run(app, port=chosen.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
