"""The committed code under `protos/gen/` is what today's contracts generate."""

from __future__ import annotations

import filecmp
import importlib.util
from pathlib import Path

from deploy.local.folders import CHECKOUT

GENERATED = CHECKOUT / "protos/gen"


def _files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in root.rglob("*.py*") if "__pycache__" not in path.parts}


def test_generating_anew_changes_nothing(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", CHECKOUT / "protos/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fresh = tmp_path / "gen"
    module.generate(fresh)

    assert _files(fresh) == _files(GENERATED), "`make generate` adds or removes files"
    names = [str(name) for name in _files(fresh)]
    _, different, errors = filecmp.cmpfiles(fresh, GENERATED, names, shallow=False)
    assert (different, errors) == ([], []), "`make generate` changes these"
