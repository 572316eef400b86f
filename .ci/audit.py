"""Known vulnerabilities of the pinned packages: what `make audit` and `.ci/run` call.

pip-audit asks the vulnerability service of PyPI about every line of requirements.lock. What the service does not know
it passes over, so that a mirror without that service would look like a clean bill: here that is "not audited".

Exit status: 0 audited and clean, 1 vulnerable, 2 not audited (0 with --if-reachable, which still says so).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "audit"
"""An environment of its own: the auditor is not among what it audits."""
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2


def install(place: Path) -> Path:
    """The pip-audit program in the environment at `place`, which is made where it is missing."""
    program = place / "bin" / "pip-audit"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "pip-audit>=2.9"], check=True)
    return program


def ask(program: Path, lock: Path) -> dict[str, Any] | str:
    """pip-audit's report on every line of `lock`, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [str(program), "--requirement", str(lock), "--no-deps", "--disable-pip", "--progress-spinner=off"]
        done = subprocess.run(
            [*command, "--format=json", f"--output={report}"], capture_output=True, text=True, check=False
        )
        if not report.is_file():
            return (done.stderr.strip().splitlines() or [f"pip-audit ended with status {done.returncode}"])[-1]
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))
        return found


def verdict(report: dict[str, Any] | str) -> tuple[int, list[str]]:
    """Exit status and what to say."""
    if isinstance(report, str):
        return NOT_AUDITED, [f"not audited: {report}"]
    packages = report["dependencies"]
    bad = [package for package in packages if package.get("vulns")]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    lines = [_vulnerability(package, found) for package in bad for found in package["vulns"]]
    if unknown:
        shown = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        lines.append(f"not audited: the service does not know {len(unknown)} of {len(packages)} packages ({shown})")
    if bad:
        return VULNERABLE, lines
    return (NOT_AUDITED, lines) if unknown else (CLEAN, [f"{len(packages)} packages audited, no known vulnerability"])


def _vulnerability(package: dict[str, Any], found: dict[str, Any]) -> str:
    remedy = f"fixed in {', '.join(found['fix_versions'])}" if found.get("fix_versions") else "no fixed version yet"
    return f"{package['name']} {package['version']}: {found['id']}, {remedy}"


def main(arguments: list[str] | None = None) -> int:
    """Audit and report."""
    parser = argparse.ArgumentParser(description="known vulnerabilities of the pinned packages")
    parser.add_argument("--if-reachable", action="store_true", help="no error where the service does not answer")
    given = parser.parse_args(arguments)
    try:
        report = ask(install(PLACE), ROOT / "requirements.lock")
    except (OSError, subprocess.CalledProcessError) as error:
        report = f"pip-audit could not be installed ({error})"
    status, lines = verdict(report)
    sys.stdout.write("".join(f"audit: {line}\n" for line in lines))
    return CLEAN if status == NOT_AUDITED and given.if_reachable else status


if __name__ == "__main__":
    sys.exit(main())
