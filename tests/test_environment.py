"""One environment, stated three times: pyproject's floors, the pinned lock, and conda's file."""

import re
import tomllib
from importlib import metadata
from itertools import chain

import yaml
from packaging.requirements import Requirement


def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def pins(root) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_pinned_above_its_floor(root):
    extras = project(root)["optional-dependencies"]
    del extras["docs"]  # builds pages, takes no part in results; `make docs` installs it beside the pinned packages
    del extras["mteb"]  # 270 MB, and only for comparing scores with mteb's: its tests skip where it is not installed
    texts = chain(project(root)["dependencies"], *extras.values())
    wanted = [Requirement(text) for text in texts]
    pinned = {canonical(name): version for name, version in pins(root).items()}
    for requirement in wanted:
        version = pinned[canonical(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"
    assert pinned["torch"] == "2.13.0"


def test_the_lock_names_versions_only(root):
    for line in (root / "requirements.lock").read_text("utf-8").splitlines()[1:]:
        assert re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_conda_s_file_agrees_with_pyproject(root):
    content = yaml.safe_load((root / "environment.yml").read_text("utf-8"))
    assert set(content) == {"name", "channels", "dependencies"}
    python, pip, inner = content["dependencies"]
    assert Requirement(project(root)["name"]).name == content["name"]
    assert pip == "pip"
    assert inner == {"pip": ["-r requirements.lock", "-e ."]}
    version = python.removeprefix("python=")
    assert Requirement(f"python{project(root)['requires-python']}").specifier.contains(f"{version}.0")


def test_the_package_s_version_is_the_project_s():
    import semcse

    assert metadata.version("semcse") == semcse.__version__
