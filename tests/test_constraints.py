"""Does tests/constraints.txt pin all that is installed, on each Python and system we support?"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LINES = (ROOT / "tests" / "constraints.txt").read_text("utf-8").splitlines()
PINS = [Requirement(line) for line in LINES if not line.startswith("#")]
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "mac": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}
PYTHONS = ("3.11.0", "3.11.14", "3.12.1", "3.13.0", "3.13.9")


def _wanted() -> list[Requirement]:
    """What the package, its extras and its build ask for."""
    project = PROJECT["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    build = [*PROJECT["build-system"]["requires"], *PROJECT["dependency-groups"]["build"]]
    found = [Requirement(text) for text in (*project["dependencies"], *extras, *build)]
    return [wanted for wanted in found if wanted.name != project["name"]]


def _holds(requirement: Requirement, python: str, system: str) -> bool:
    where = {"python_full_version": python, "python_version": python.rsplit(".", 1)[0]}
    where |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    return requirement.marker is None or requirement.marker.evaluate(SYSTEMS[system] | where)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_package_asks_for_has_one_pin_each_and_it_is_in_range(python, system):
    pins = [pin for pin in PINS if _holds(pin, python, system)]
    by_name = {canonicalize_name(pin.name): pin for pin in pins}
    assert len(by_name) == len(pins)
    for wanted in _wanted():
        if _holds(wanted, python, system):
            (exact,) = by_name[canonicalize_name(wanted.name)].specifier
            assert exact.version in wanted.specifier, wanted


def test_a_line_is_a_name_an_exact_version_and_where_it_is_for():
    assert LINES[1] == "#    .ci/pin"
    for pin in PINS:
        (exact,) = pin.specifier
        assert (exact.operator, pin.url, pin.extras) == ("==", None, set()), pin


def test_the_hooks_before_a_commit_have_the_same_versions():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]
    exact = {canonicalize_name(pin.name): pin.specifier for pin in PINS}
    for hook in hooks["hooks"]:
        for text in hook.get("additional_dependencies", []):
            wanted = Requirement(text)
            assert [s.operator for s in wanted.specifier] == ["=="]
            assert wanted.specifier == exact.get(wanted.name, wanted.specifier)


def test_the_build_is_pinned_as_it_is_required():
    assert set(PROJECT["build-system"]["requires"]) <= set(PROJECT["dependency-groups"]["build"])
