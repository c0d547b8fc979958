"""Measurements in processes of their own, so that each one's peak memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def in_process(script: str, job: dict[str, Any]) -> dict[str, Any]:
    """What ``python SCRIPT --job JOB`` prints as its last line, JSON, with ``job["threads"]``
    threads. Ends this process with the other's messages if that fails."""
    done = subprocess.run(
        [sys.executable, script, "--job", json.dumps(job)],
        env={**os.environ, "OMP_NUM_THREADS": str(job["threads"])},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{job}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
