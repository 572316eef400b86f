"""The audit of pinned packages: a service that does not answer is never a clean bill."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

BAD = {
    "name": "b",
    "version": "1",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}, {"id": "X", "fix_versions": []}],
}
CLEAN = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"}


@pytest.fixture
def audit(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", root / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "status", "leniently", "said"),
    [
        ([CLEAN], 0, 0, ["1 packages audited, no known vulnerability"]),
        ([CLEAN, BAD], 1, 1, ["b 1: PYSEC-1, fixed in 2", "b 1: X, no fixed version yet"]),
        ([CLEAN, UNKNOWN], 2, 0, ["not audited: the service does not know 1 of 2 packages (c)"]),
        ([BAD, UNKNOWN], 1, 1, ["b 1: PYSEC-1, fixed in 2", "not audited: the service does not know 1 of 2"]),
        (None, 2, 0, ["not audited: no route to the service"]),
    ],
)
def test_what_the_service_says_is_the_exit_status(
    audit: ModuleType,
    packages: list[dict] | None,
    status: int,
    leniently: int,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A program in pip-audit's place writes these reports where it is told to, or none."""
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    answer = "echo no route to the service >&2; exit 1"
    if packages is not None:
        (tmp_path / "answer.json").write_text(json.dumps({"dependencies": packages, "fixes": []}))
        answer = f'for word; do case $word in --output=*) cp {tmp_path}/answer.json "${{word#--output=}}";; esac; done'
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setattr(audit, "PLACE", tmp_path)
    assert audit.main([]) == status
    out = capsys.readouterr().out
    assert [line for line in said if line not in out] == []
    assert audit.main(["--if-reachable"]) == leniently


def test_no_network_to_install_the_auditor_is_said(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "PLACE", tmp_path)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(audit.sys, "executable", "/nowhere/python")
    assert audit.main([]) == 2
    assert "audit: not audited: pip-audit could not be installed" in capsys.readouterr().out
    assert audit.main(["--if-reachable"]) == 0
