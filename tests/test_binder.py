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

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
PYTHON = "3.12"


def test_the_environment_has_a_supported_python_and_a_redis_server():
    environment = yaml.safe_load((BINDER / "environment.yml").read_text("utf-8"))
    assert environment["channels"][0] == "conda-forge"
    assert environment["dependencies"] == [f"python={PYTHON}", "pip", "redis-server"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert PYTHON in Requirement(f"python{project['requires-python']}").specifier


def test_it_installs_what_the_first_command_of_the_readme_does():
    (command,) = re.findall(
        r"<!-- notebook-command -->\n```sh\n(.*?)\n", (ROOT / "README.md").read_text("utf-8")
    )
    script = (BINDER / "postBuild").read_text("utf-8")
    pins = re.findall(r"PIP_\w+=\S+", command)
    assert pins == re.findall(r"PIP_\w+=\S+", script)
    assert all((ROOT / pin.split("=")[1]).is_file() for pin in pins)
    assert re.findall(r'-e "(.*?)"', command) == re.findall(r'-e "(.*?)"', script)


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
