"""What ``onetrunk bundle report`` says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onetrunk.apps.app import App
from onetrunk.bundle.costs import measure_costs
from onetrunk.bundle.export import export_bundle
from onetrunk.cli import app as cli
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone


def test_costs(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> None:
    """Sizes are those on disk; more apps than there are, and fewer, are measured."""
    bundle = tmp_path / "b"
    export_bundle(tiny_backbone, apps, bundle, "int8")
    steps: list[tuple[int, int]] = []
    costs = measure_costs(
        bundle,
        counts=(1, 12),
        repeats=3,
        progress=lambda what, done, total: steps.append((done, total)),
    )
    on_disk = sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file())
    about = sum((bundle / name).stat().st_size for name in ("bundle.json", "README.md"))
    assert sum(costs.sizes.values()) == on_disk - about
    assert list(costs.sizes)[-2:] == ["apps", "primary"]
    assert [(one.apps, one.threads) for one in costs.latency] == [(1, 1), (12, 1), (1, 0), (12, 0)]
    for one in costs.latency:
        assert 0 < one.p50 <= one.p95 <= one.p99
    # Twelve passes take longer than one, whatever the machine does besides.
    assert costs.latency[1].apart > costs.latency[0].apart
    assert steps[0] == (0, 5)
    assert steps[-1] == (5, 5)
    assert costs.cold_seconds > 0


def test_the_command_writes_a_table_and_a_plot(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    bundle, out = tmp_path / "b", tmp_path / "costs"
    export_bundle(tiny_backbone, {"spam": apps["spam"]}, bundle, "int8")
    command = ["bundle", "report", str(bundle), "--repeats", "3", "--out", str(out)]
    ran = CliRunner().invoke(cli, command)
    assert ran.exit_code == 0, ran.output
    assert "a pass for each" in ran.stdout
    assert "together" in ran.stdout
    assert {file.name for file in out.iterdir()} == {"costs.json", "costs.png"}
    assert len(json.loads((out / "costs.json").read_text())["latency"]) == 8
    again = CliRunner().invoke(cli, command)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_a_bundle_without_apps(tiny_backbone: Backbone, tmp_path: Path) -> None:
    export_bundle(tiny_backbone, {}, tmp_path / "b", "int8")
    with pytest.raises(UserError, match="no apps to measure"):
        measure_costs(tmp_path / "b")
