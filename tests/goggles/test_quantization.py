"""Goggles of 8 bits show the same, in a smaller file, or they are not written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simgym.deploy import Goggles
from simgym.goggles import quantization
from simgym.goggles.export import export_goggles
from simgym.goggles.quantization import QuantizationError, quantize_goggles
from tests.goggles.scenes import domains
from tests.goggles.test_export import CONTRACT, generator


@pytest.fixture(scope="module")
def in_floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("floats") / "goggles.onnx"
    export_goggles(generator("unet"), CONTRACT, path, domains()["real"].rgb)
    return path


def test_they_show_the_same_in_a_third_of_the_bytes(in_floats: Path, tmp_path: Path) -> None:
    path, frames = tmp_path / "goggles.onnx", domains()["real"].rgb
    difference = quantize_goggles(in_floats, path, frames)
    before, after = Goggles(in_floats), Goggles(path)
    assert path.stat().st_size < in_floats.stat().st_size / 3
    assert after.contract == before.contract == CONTRACT
    shown, expected = after.translate(frames).astype(int), before.translate(frames).astype(int)
    assert 0 < np.abs(shown - expected).mean() <= quantization.MEAN_DIFFERENCE and shown.std() > 20
    assert difference == pytest.approx(np.abs(shown - expected).mean(), abs=0.05)
    np.testing.assert_array_equal(after.translate(frames[:1])[0], after.translate(frames)[0])


def test_a_file_may_take_its_own_place(in_floats: Path, tmp_path: Path) -> None:
    frames = domains()["real"].rgb
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(in_floats.read_bytes())
    quantize_goggles(mine, mine, frames)
    quantize_goggles(in_floats, tmp_path / "other.onnx", frames)
    np.testing.assert_array_equal(Goggles(mine).translate(frames), Goggles(tmp_path / "other.onnx").translate(frames))


def test_those_that_would_show_something_else_stay_as_they_are(
    in_floats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.onnx"
    mine.write_bytes(in_floats.read_bytes())
    monkeypatch.setattr(quantization, "MEAN_DIFFERENCE", 0.0)
    with pytest.raises(QuantizationError, match="grey levels in the mean .* they stay in floats"):
        quantize_goggles(mine, mine, domains()["real"].rgb)
    assert mine.read_bytes() == in_floats.read_bytes() and list(tmp_path.iterdir()) == [mine]


def test_nothing_is_logged(in_floats: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quantize_goggles(in_floats, tmp_path / "goggles.onnx", domains()["real"].rgb)
    assert not [record for record in caplog.records if record.name == "root"]
