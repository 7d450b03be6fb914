"""Does the Binder environment fit the package, and by repo2docker's rules?"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
PINS = dict(
    line.split("==") for line in (BINDER / "requirements.txt").read_text("utf-8").splitlines()
)
PYTHON = "3.12"


def _wanted() -> list[Requirement]:
    """What the package and its extra `lab` ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    texts = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("wanted", _wanted(), ids=lambda wanted: wanted.name)
def test_each_pin_lies_in_the_range_the_package_asks_for(wanted):
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    assert Version(pins[canonicalize_name(wanted.name)]) in wanted.specifier


def test_requirements_are_exact_pins_and_nothing_else():
    lines = (BINDER / "requirements.txt").read_text("utf-8").splitlines()
    strange = [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line)
    ]
    assert strange == []
    assert lines == sorted(lines, key=lambda line: canonicalize_name(line.split("==")[0]))


def test_the_environment_has_a_supported_python_a_redis_server_and_the_pins():
    environment = yaml.safe_load((BINDER / "environment.yml").read_text("utf-8"))
    assert environment["channels"][0] == "conda-forge"
    *conda, pip = environment["dependencies"]
    assert conda == [f"python={PYTHON}", "pip", "redis-server"]
    assert pip == {"pip": ["-r requirements.txt"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert PYTHON in Requirement(f"python{project['requires-python']}").specifier


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_executable_and_say_by_what(name):
    script = BINDER / name
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text("utf-8").startswith("#!/usr/bin/env bash\n")


def test_start_hands_over_to_the_notebook_server():
    assert (BINDER / "start").read_text("utf-8").endswith('\nexec "$@"\n')


def test_the_notebook_server_starts_even_if_redis_does_not(tmp_path):
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TMPDIR": str(tmp_path)}
    env.pop("FLOWNB_REDIS_URL", None)
    started = subprocess.run(
        [BINDER / "start", "sh", "-c", 'echo "up ${FLOWNB_REDIS_URL-without redis}"'],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout == "up without redis\n"


def test_there_is_one_binder_folder_only():
    assert not (ROOT / ".binder").exists()
