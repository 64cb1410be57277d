"""`import assay`: its names, how fast it is, and that guides and recipes need nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import assay

ROOT = Path(__file__).parents[2]


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in assay.__all__:
        if name in ("__version__", "Split"):
            continue
        assert (getattr(assay, name).__doc__ or "").strip(), name
    assert dir(assay) == assay.__all__
    with pytest.raises(AttributeError, match=r"has no attribute 'trian'; it has .*train"):
        _ = assay.trian  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_assay_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys, time; began = time.process_time(); import assay; seconds = time.process_time() - began; "
        "print(seconds, [name for name in ('torch', 'transformers', 'numpy', 'pydantic') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    seconds, loaded = said.split(maxsplit=1)
    assert loaded.strip() == "[]"
    assert float(seconds) < 0.3


def test_a_wrong_setting_is_refused_without_torch() -> None:
    errors = {
        "nonsense=1": "unknown key 'nonsense'",
        "trainer.learning_rte=1": "did you mean 'learning_rate'",
        "model.lora.rnk=1": "did you mean 'rank'",
        "algorithm.nme=1": "did you mean 'name'",
        "algorithm.kl_coefficient=-1": "kl_coefficient",
    }
    code = """
import json, sys
from pathlib import Path
from assay.config import load
from assay.recipe import RunConfig
told = {}
for wrong in sys.argv[2:]:
    try:
        load(RunConfig, Path(sys.argv[1]), [wrong])
    except Exception as error:
        told[wrong] = str(error)
print(json.dumps([told, [name for name in ("torch", "transformers") if name in sys.modules]]))
"""
    recipe = ROOT / "recipes" / "arithmetic_rlvr" / "demo.toml"
    said = subprocess.run([sys.executable, "-c", code, recipe, *errors], check=True, capture_output=True, text=True)
    told, loaded = json.loads(said.stdout)
    assert loaded == []
    for wrong, error in errors.items():
        assert error in told[wrong]


@pytest.mark.parametrize("page", ["reference", "settings"])
def test_a_reference_page_is_made_from_what_the_code_says(page: str) -> None:
    program = ROOT / "docs" / f"{page}.py"
    made = subprocess.run([sys.executable, str(program)], check=True, capture_output=True, text=True).stdout
    written = program.with_suffix(".md").read_text()
    assert written == made, f"make it anew: python docs/{page}.py > docs/{page}.md"


def test_the_page_of_settings_has_what_nobody_could_find() -> None:
    said = (ROOT / "docs" / "settings.md").read_text()
    for name in ("test_path", "overlap", "keep_last", "every_steps", "gold_format", "dynamic_sampling", "seed_key"):
        assert f"\n| `{name}` | " in said, name
    for title in ('name = "grpo"', 'name = "rows"', 'name = "math"', "[model.lora]", "[cells.NAME]"):
        assert f"\n### `{title}`\n" in said, title


def test_public_names_are_in_the_changelog() -> None:
    """A name that comes or goes is a line there: the list as it was last released stands in the changelog."""
    listed = re.search(r"Public names: (.*?)\.\n", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL)
    assert listed is not None
    assert listed[1].replace("\n", " ").replace("`", "").split(", ") == [
        name for name in assay.__all__ if name != "__version__"
    ]


def test_guides_and_recipes_import_public_names_only() -> None:
    """Recipes that are read beside the loop, and benchmarks, may look inside; guides never do."""
    texts = {path: path.read_text() for path in (ROOT / "docs" / "guides").glob("*.md")}
    for path, text in texts.items():
        for module, names in re.findall(r"^\s*from (assay[\w.]*) import ([\w, ]+)", text, re.MULTILINE):
            assert module == "assay", f"{path.name}: from {module} import {names}"
            for name in names.split(", "):
                assert name in assay.__all__, f"{path.name}: {name}"
