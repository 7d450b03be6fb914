"""Is what anywidget gets one valid module, and does it hold what stands beside it?"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flownb.widgets import views
from flownb.widgets.bundle import HERE, script, sheet

KINDS = {k: tuple(p.name for p in parts) for k, parts in views._PARTS.items()}
KINDS |= {"explore": ("explore",), "quiz": ("quiz",)}
MODULES = sorted(path.stem for path in HERE.glob("*.js"))


def node(*args: str, text: str | None = None) -> None:
    """Run node, where there is one."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    done = subprocess.run(
        [found, *args], input=text, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_the_script_of_a_view_is_one_module_without_imports(kind):
    source = script(KINDS[kind])
    assert not re.search(r"^\s*import\b", source, re.MULTILINE)
    assert len(re.findall(r"^export ", source, re.MULTILINE)) == 1
    node("--input-type=module", "--check", "-", text=source)


@pytest.mark.parametrize("name", MODULES)
def test_every_import_of_a_module_is_of_the_kind_that_is_put_together(name):
    source = (HERE / f"{name}.js").read_text()
    imports = re.findall(r"^import .*", source, re.MULTILINE)
    assert all(re.fullmatch(r'import \{[^}]*\} from "\./\w+\.js";', line) for line in imports)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_makes_markup_of_text_or_reaches_for_the_network(name):
    source = (HERE / f"{name}.js").read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in source
    assert not re.search(r"https?://(?!www\.w3\.org/)", source)


def selectors_of(css):
    rules = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    for selectors in re.findall(r"(?:^|[{}])\s*([^{}@]+)\{", rules):
        for selector in selectors.split(","):
            if not re.fullmatch(r"\s*(from|to|[\d.]+%)\s*", selector):
                yield selector.strip()


def test_every_rule_of_the_style_sheet_stays_inside_our_own_root():
    for selector in selectors_of(sheet()):
        assert "fnb" in selector or "flownb" in selector, selector


def test_no_part_styles_what_another_part_shows():
    owners = {}
    for path in HERE.glob("*.css"):
        for selector in selectors_of(path.read_text()):
            first = re.split(r"[\s:\[>]", selector)[0]
            if path.stem != "base" and first.startswith(".flownb-"):
                assert owners.setdefault(first, path.stem) == path.stem, selector


def test_the_pure_functions_of_the_modules():
    here = Path(__file__).parent
    node("--test", *map(str, sorted(here.glob("*.test.mjs"))))
