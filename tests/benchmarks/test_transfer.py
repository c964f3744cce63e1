"""The transfer table: what is planned, what is made again, and what the numbers are put together to."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchmarks.transfer.__main__ as command
from benchmarks.transfer import pieces, table
from benchmarks.transfer.pictures import draw_half, label_rows
from benchmarks.transfer.pieces import DONE, STALE, TO_DO, Piece, closure, make, state
from benchmarks.transfer.plan import NEW, SAME, SIM, Options, Plan, all_rows, make_plan
from simgym.config.goggles import METHODS
from simgym.config.run_dir import CONFIG_FILE, to_yaml
from simgym.config.schema import GogglesTrainConfig
from simgym.errors import UserError
from simgym.policies.metrics import paired_interval, wilson_interval

RUN_APART = pieces.run_apart
SUCCESSES = {"none": 0.1, "cyclegan": 0.4, "vr_goggles": 0.5, "expert": 1.0}


class Recorder:
    """Stands for the processes: notes which commands ran, and writes what they promise."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.resumed: list[str] = []
        self.failing = ""
        self._clock_ns = 4 * 10**18  # later than any file that is there

    def __call__(self, module: str, config: Any) -> int:
        resume = getattr(config, "resume", None)
        folder = Path(resume or config.out)
        self.ran.append(f"{folder.parent.name}/{folder.name}")
        if self.failing and self.failing in str(folder):
            raise UserError("the loss is no number any more")
        folder.mkdir(parents=True, exist_ok=resume is not None)
        if resume:
            self.resumed.append(folder.name)
        else:
            (folder / CONFIG_FILE).write_text(to_yaml(config))
        self._write(folder, module, config)
        return 0

    def _write(self, folder: Path, module: str, config: Any) -> None:
        products: dict[str, dict[str, Any]] = {
            "simgym.collect": {"frames.csv": ""},
            "benchmarks.transfer.motion": {"motion.npz": ""},
            "simgym.goggles.train": {"metrics.json": METRICS, "goggles.onnx": ""},
            "simgym.evaluate": {"episodes.csv": _episodes(folder.name), "eval.json": {}},
            "simgym.evaluate_photos": {"photos.json": PHOTOS},
            "benchmarks.transfer.frames": {"measures.json": dict.fromkeys(table.MEASURES, 0.5)},
        }
        self._clock_ns += 10**9
        for name, content in products[module].items():
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
            os.utime(folder / name, ns=(self._clock_ns, self._clock_ns))


METRICS: dict[str, Any] = {
    **{"method": "hybrid", "generator": "unet", "steps": 10, "frames": {"real": 9}, "training_seconds": 120.0},
    **{"real": {"collapse": None}, "pairs": {"collapse": None}, "segmentation_ready": True},
}
MEAN = {"mean": 0.25, "ci95": [0.2, 0.3]}
PHOTOS: dict[str, Any] = {
    **{"n": 9, "agreement": 0.5, "ci95": [0.3, 0.7], "rows": [1, 2]},
    "chair_iou": {"photos": 9, "before": MEAN, "after": None, "gain": None},
}


def _episodes(name: str) -> str:
    """Twenty episodes, the first ones won: as many as `SUCCESSES` has of the row, or half."""
    share = SUCCESSES.get(name.split("-")[0], 0.5)
    rows = [f"{seed},{seed < 20 * share},0.5,0" for seed in range(20)]
    return "\n".join(["seed,success,spl,collisions", *rows]) + "\n"


@pytest.fixture(autouse=True)
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.chdir(tmp_path)
    made = Recorder()
    monkeypatch.setattr(pieces, "run_apart", made)
    monkeypatch.setattr(command, "draw_half", lambda plan, half: None)
    yield made


def run(*words: str, code: int = 0) -> None:
    assert command.main(["--out", "out", "--json", "table.json", *words]) == code


def whole(**changes: Any) -> Plan:
    options = Options(out=Path("/out"), policies={"randomized": Path("/r/policy.onnx")}, **changes)
    return make_plan(options, all_rows(["randomized"]))


class TestPlan:
    def test_no_goggles_have_seen_what_they_are_judged_on(self) -> None:
        judged = [piece for cell in whole().cells for piece in (cell.evaluation, cell.measures) if piece]
        trainings = [piece for piece in closure(judged) if piece.module == "simgym.goggles.train"]
        assert {need.config.split for training in trainings for need in training.needs} == {"train"}
        assert {cell.evaluation.config.split for cell in whole().cells} == {"test"}
        measured = [need for cell in whole().cells if cell.measures for need in cell.measures.needs]
        assert {need.config.split for need in measured if need.module == "simgym.collect"} == {"test"}

    def test_goggles_of_a_place_are_judged_in_that_place(self) -> None:
        for cell in whole(places=(6,)).cells:
            place = 6 if cell.setting.half == SAME else None
            assert cell.setting.half == SIM or cell.evaluation.config.domain.place == place
            assert cell.evaluation.config.domain.name == ("sim" if cell.setting.half == SIM else "standin")
            if cell.training and cell.training.config.real:
                real = next(need for need in cell.training.needs if str(need.folder) == cell.training.config.real)
                assert real.config.domain.place == place and real.config.domain.name == "standin"

    def test_every_method_and_every_ablation_has_a_row(self) -> None:
        rows = {row.name: row for row in all_rows(["randomized", "adr"])}
        usual = GogglesTrainConfig().goggles.method.name
        assert {"none", "expert", "randomized", "adr", f"randomized+{usual}", *METHODS} <= set(rows)
        assert rows[f"randomized+{usual}"].goggles == usual
        trained = {cell.row.name: cell.training.config for cell in whole().cells if cell.training}
        others = {"deep", "mobile", "resnet9"}
        assert {trained[f"{usual}_{name}"].generator for name in others} == others
        blind = trained["vr_goggles_no_semantic"].goggles.method
        assert blind.semantic == 0 < blind.shift and blind.name == "vr_goggles"

    def test_what_learns_from_pairs_alone_is_trained_once(self) -> None:
        trainings = {cell.training.folder for cell in whole().cells if cell.training and cell.row.name == "rcan"}
        assert len(trainings) == 1

    def test_episodes_are_shared_between_places(self) -> None:
        counts = {cell.setting.name: cell.evaluation.config.episodes for cell in whole(episodes=500).cells}
        assert counts == {"sim": 500, "place_0": 167, "place_2": 167, "place_4": 167, "places": 500}

    def test_words_may_be_for_one_row(self) -> None:
        plan = whole(words=("steps=7", "hybrid_resnet9:steps=3"))
        steps = {cell.row.name: cell.training.config.steps for cell in plan.cells if cell.training}
        assert steps["hybrid"] == steps["color"] == 7
        assert steps.get("hybrid_resnet9", 3) == 3

    def test_photographs_by_goggles_of_many_places_or_of_real_frames(self) -> None:
        def training(**changes: Any) -> GogglesTrainConfig:
            (need,) = whole(photos=Path("/p"), **changes).photographs["hybrid"].needs
            return need.config

        assert str(training().real).endswith("frames/places")
        assert training(real="office/*.jpg").real == "office/*.jpg"
        assert "expert" not in whole(photos=Path("/p")).photographs
        assert whole(photos=Path("/p"), env="Grasp").photographs == {}


class TestPieces:
    def test_the_second_time_nothing_is_made(self, recorder: Recorder) -> None:
        run("--rows", "none,color")
        assert "goggles/color-place_0" in recorder.ran and len(recorder.ran) == len(set(recorder.ran))
        recorder.ran.clear()
        run("--rows", "none,color")
        assert recorder.ran == []
        run("--rows", "expert,color")
        assert recorder.ran == [
            f"evaluations/expert-{name}" for name in ("sim", "place_0", "place_2", "place_4", "places")
        ]

    def test_the_plan_alone_makes_nothing(self, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
        run("--plan", "--rows", "color", "--halves", SAME, "--places", "0")
        assert recorder.ran == [] and not Path("table.json").exists()
        lines = [line.split() for line in capsys.readouterr().out.splitlines() if "to do" in line]
        assert [line[-1] for line in lines] == [
            *("frames/sim", "frames/randomized", "frames/place_0", "goggles/color-place_0"),
            *("evaluations/color-place_0", "frames/place_0_test", "frames/place_0_motion", "measures/color-place_0"),
        ]

    def test_other_settings_are_refused_or_made_anew(self, recorder: Recorder, capsys) -> None:
        words = ["--rows", "color", "--halves", NEW]
        run(*words)
        recorder.ran.clear()
        run(*words, "--episodes", "60", code=1)
        assert "evaluations/color-places (episodes was 500, is 60)" in capsys.readouterr().err and recorder.ran == []
        run(*words, "--episodes", "60", "--redo")
        assert recorder.ran == ["evaluations/color-places"]

    def test_what_is_made_from_something_newer_is_stale(self, recorder: Recorder) -> None:
        words = ["--rows", "color", "--halves", NEW]
        run(*words)
        recorder.ran.clear()
        run(*words, "--redo", "color:goggles.method.space=rgb")
        assert recorder.ran == ["goggles/color-places", "evaluations/color-places", "measures/color-places"]

    def test_a_training_that_was_stopped_goes_on_and_others_start_again(self, recorder: Recorder) -> None:
        words = ["--rows", "cyclegan", "--halves", NEW]
        run(*words)
        recorder.ran.clear()
        Path("out/goggles/cyclegan-places/metrics.json").unlink()
        Path("out/evaluations/cyclegan-places/eval.json").unlink()
        Path("out/measures/cyclegan-places/measures.json").unlink()
        run(*words)
        assert recorder.resumed == ["cyclegan-places"] and len(recorder.ran) == 3

    def test_a_failure_stops_only_what_needs_it(self, recorder: Recorder, capsys) -> None:
        recorder.failing = "goggles/cyclegan-places"
        run("--rows", "cyclegan,color", "--halves", NEW, code=1)
        assert "evaluations/cyclegan-places" not in recorder.ran and "evaluations/color-places" in recorder.ran
        assert "failed: goggles/cyclegan-places: the loss is no number any more" in capsys.readouterr().err
        assert set(json.loads(Path("table.json").read_text())["halves"][NEW]["rows"]) == {"color"}

    def test_a_folder_that_moved_is_the_same(self, recorder: Recorder) -> None:
        run("--rows", "color", "--halves", NEW)
        recorder.ran.clear()
        Path("out").rename("elsewhere")
        assert command.main(["--out", "elsewhere", "--json", "t.json", "--rows", "color", "--halves", NEW]) == 0
        assert recorder.ran == []

    def test_a_newer_policy_file_makes_stale(self, tmp_path: Path) -> None:
        file = tmp_path / "policy.onnx"
        file.touch()
        piece = Piece(tmp_path / "a" / "b", "simgym.x", GogglesTrainConfig(), "product", files=(file,))
        assert state(piece)[0] == TO_DO
        piece.folder.mkdir(parents=True)
        piece.path.touch()
        os.utime(file, ns=(0, 0))
        assert state(piece)[0] == DONE
        os.utime(file, ns=(2**62, 2**62))
        assert state(piece)[0] == STALE

    def test_a_command_without_its_product_has_failed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pieces, "run_apart", lambda module, config: 0)
        piece = Piece(tmp_path / "a" / "b", "simgym.x", GogglesTrainConfig(), "product")
        assert list(make([piece])) == ["a/b"]

    def test_of_two_runs_the_second_waits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        piece = Piece(tmp_path / "a" / "b", "simgym.x", GogglesTrainConfig(), "product")
        ran: list[Path] = []
        first_is_at_it, may_end = threading.Event(), threading.Event()

        def slow(module: str, config: Any) -> int:
            ran.append(piece.folder)
            first_is_at_it.set()
            assert may_end.wait(30)
            piece.folder.mkdir()  # fails the second time
            piece.path.touch()
            return 0

        monkeypatch.setattr(pieces, "run_apart", slow)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(make, [piece])
            assert first_is_at_it.wait(30)
            second = pool.submit(make, [piece])
            while "waiting" not in capsys.readouterr().out:
                assert not second.done()
            may_end.set()
            assert first.result(30) == second.result(30) == {}
        assert ran == [piece.folder]


class TestTable:
    def test_numbers_are_of_all_places_together(self, recorder: Recorder) -> None:
        run("--rows", "none,cyclegan,vr_goggles,expert", "--halves", SAME)
        found = json.loads(Path("table.json").read_text())["halves"][SAME]
        assert {name: row["success_rate"] for name, row in found["rows"].items()} == pytest.approx(SUCCESSES)
        row = found["rows"]["vr_goggles"]
        assert row["episodes"] == 60 and row["success_ci95"] == pytest.approx(wilson_interval(30, 60))
        assert row["training"]["trainings"] == 3 and row["training"]["mean_training_seconds"] == 120
        assert row["wanted_iou"] == 0.5 and found["rows"]["expert"]["wanted_iou"] is None

    def test_rows_are_compared_on_the_same_episodes(self, recorder: Recorder) -> None:
        run("--rows", "none,vr_goggles", "--halves", NEW)
        pairs = json.loads(Path("table.json").read_text())["halves"][NEW]["comparisons"]
        (pair,) = (pair for pair in pairs if pair["first"] == "vr_goggles")
        assert pair["second"] == "none" and pair["episodes"] == 20 and pair["difference"] == pytest.approx(0.4)
        assert pair["ci95"] == pytest.approx(paired_interval(np.arange(20) < 10, np.arange(20) < 2))

    def test_a_row_counts_once_all_its_places_are_there(self, recorder: Recorder) -> None:
        recorder.failing = "evaluations/cyclegan-place_4"
        run("--rows", "none,cyclegan", "--halves", SAME, code=1)
        assert set(json.loads(Path("table.json").read_text())["halves"][SAME]["rows"]) == {"none"}

    def test_what_people_read(self, recorder: Recorder) -> None:
        run("--rows", "none,cyclegan,vr_goggles", "--halves", NEW, "--photos", ".")
        text = Path("out/transfer.md").read_text()
        assert "| vr_goggles | 20 | 50.0 % (29.9–70.1) |" in text and "unet, 10 steps, 2 min" in text
        assert "| vr_goggles | cyclegan | +10.0" in text
        assert "| none | 9 | 50.0 % (30.0–70.0) | 0.250 (0.200 to 0.300) | – | – |" in text
        columns = {line.count("|") for line in text.split("## ")[1].split("\n\n")[1].splitlines()}
        assert len(columns) == 1  # every line has a cell in every column

    @pytest.mark.parametrize("ready", [True, False])
    def test_it_says_where_semantic_terms_were_left_out(
        self, ready: bool, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(METRICS, "method", "vr_goggles")
        monkeypatch.setitem(METRICS, "segmentation_ready", ready)
        run("--rows", "vr_goggles", "--halves", NEW)
        assert ("semantic terms left out" in Path("out/transfer.md").read_text()) == (not ready)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rows", "cyclegun"], "--rows cyclegun: choose from none, color"),
        (["--halves", "third"], "--halves third: choose from sim, same_place, new_places"),
        (["--adr", "absent.onnx"], "--adr absent.onnx: no such file"),
        (["stepz=3"], "unknown key 'stepz'"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], expected: str, recorder: Recorder, capsys) -> None:
    assert command.main([*words, "--out", "out"]) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line and recorder.ran == []


def test_a_sheet_has_a_row_a_look() -> None:
    rows = {"camera": np.zeros((3, 6, 8, 3), np.uint8), "twin": np.full((3, 6, 8, 3), 255, np.uint8)}
    sheet = label_rows(rows)
    assert sheet.shape == (2 * 12 + 2, 4 * 16 + 3 * 2, 3)
    assert (sheet[:12, 18:34] == 0).all() and (sheet[14:, 18:34] == 255).all()


@pytest.mark.slow
def test_from_frames_to_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, with sizes too small to tell anything; the sheet shows what was trained."""
    pytest.importorskip("pybullet")
    monkeypatch.setattr(pieces, "run_apart", RUN_APART)
    monkeypatch.setattr(command, "draw_half", draw_half)
    tiny = ["batch_size=2", "segmentation_steps=2", "device=cpu"]
    sizes = ["--frames", "24", "--test-frames", "12", "--episodes", "2", "--steps", "2", "--places", "0"]
    words = ["--rows", "none,color,rcan,expert", "--halves", f"{SIM},{SAME}", *sizes]
    assert command.main([*words, "--out", "real", "--json", "real.json", *tiny]) == 0
    found = json.loads(Path("real.json").read_text())["halves"]
    assert set(found[SAME]["rows"]) == {"none", "color", "rcan", "expert"} and set(found[SIM]["rows"]) == {
        "none",
        "expert",
    }
    assert found[SAME]["rows"]["none"]["paired_l1"] > found[SAME]["rows"]["color"]["paired_l1"]
    assert Path("real/same_place.png").is_file() and Path("real/transfer.md").is_file()
    with Path("real/evaluations/none-place_0/episodes.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
