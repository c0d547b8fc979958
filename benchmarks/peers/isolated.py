"""Measurements in processes of their own, so that each one's peak memory is its own.

A script starts itself again with ``--job``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def in_process(script: str, job: dict[str, Any]) -> dict[str, Any]:
    """Run ``python SCRIPT --job JOB`` with ``job["threads"]`` threads; returns the JSON in the last
    line that it prints. If it fails, this process ends with its messages."""
    done = subprocess.run(
        [sys.executable, script, "--job", json.dumps(job)],
        env={**os.environ, "OMP_NUM_THREADS": str(job["threads"])},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{job}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def parse(
    parser: argparse.ArgumentParser, measure: Callable[[dict[str, Any]], dict[str, Any]]
) -> argparse.Namespace:
    """A script's options, ``data`` among them; started by :func:`in_process`, it does its job here,
    prints what it measured and ends."""
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(options.job)))
        raise SystemExit
    if options.data is None:
        parser.error("DATA is missing")
    return options
