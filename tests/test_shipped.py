"""What ``pretrained`` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from simgym import shipped
from simgym.deploy import BundleError


@pytest.mark.parametrize("kind", ["policy", "goggles"])
def test_pretrained_names_what_the_package_ships(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shipped.FOLDERS, kind, tmp_path)
    assert shipped.bundle_path("my/own.onnx", kind, "ChairNav") == Path("my/own.onnx")
    with pytest.raises(BundleError, match=f"{kind}=pretrained: simgym ships none for ChairNav"):
        shipped.bundle_path("pretrained", kind, "ChairNav")
    (tmp_path / f"ChairNav_{kind}.onnx").touch()
    assert shipped.bundle_path("pretrained", kind, "ChairNav") == tmp_path / f"ChairNav_{kind}.onnx"


def test_what_ships_is_packed() -> None:
    """Every folder of bundles is named in the package data; a bundle that is not installed is none."""
    listed = Path("pyproject.toml").read_text()
    for folder in shipped.FOLDERS.values():
        assert f'"{folder.relative_to(shipped.PACKAGE)}/*.onnx"' in listed
