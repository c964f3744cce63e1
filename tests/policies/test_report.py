"""The report: whole in one file, and true."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simgym.policies.report as report
from simgym.policies.evaluation import Evaluation, Trace
from simgym.policies.report import draw_curve, write_report
from simgym.policies.video import VideoError

RATE_HZ = 5.0
VOID_TAGS = {"meta", "img", "br"}
SUCCESSES = [True, True, False, True]
CHAIRS = ["tub", "tub swivel", "swivel", "armchair armchair"]


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Four episodes by hand, the first three with traces."""
    episodes = [
        {
            "episode": i, "seed": 10 + i, "success": success, "spl": 0.9 * success, "soft_spl": 0.8,
            "distance_to_goal": 0.25, "collisions": int(not success), "truncated": False, "return": 3.0,
            "steps": 10 + i, "seconds": (10 + i) / 5, "room": "l_shape", "chairs": CHAIRS[i],
        }
        for i, success in enumerate(SUCCESSES)
    ]  # fmt: skip
    overview = np.full((60, 60, 3), 90, np.uint8)
    image = np.full((12, 16, 3), 70, np.uint8)
    traces = [
        Trace(10 + i, [np.full(3, 0.1 * t) for t in range(4)], [image] * 4, overview, 10.0, SUCCESSES[i])
        for i in range(3)
    ]
    return Evaluation(episodes, traces, steps=46, wall_seconds=0.5)


@pytest.fixture
def result(evaluation: Evaluation) -> dict[str, Any]:
    about = dict.fromkeys(("domain", "engine", "renderer", "look", "split", "goggles"))
    return {"env": "ChairNav", "policy": "runs/<b>mine</b>/policy.onnx", "seed": 7, **about} | evaluation.summary()


def curve(rows: int) -> list[dict[str, Any]]:
    return [
        {
            "steps": 1000 * (i + 1), "wall_seconds": 60.0 * (i + 1), "success_rate": 0.2 * i,
            "success_ci95": [0.1 * i, 0.25 * i + 0.1], "spl": 0.15 * i, "mean_return": float(i),
            "terms": {"progress": 0.01 * i, "collision": 0.1 - 0.01 * i, "time": 1.0},
        }
        for i in range(rows)
    ]  # fmt: skip


def test_a_report_needs_nothing_but_itself(tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]) -> None:
    path = write_report(tmp_path, result, evaluation, RATE_HZ, curve(4))
    page = Page(path)
    assert path.name == "report.html" and page.open == []
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    sources = [
        value
        for tag, attributes in page.tags
        if tag != "use"
        for name, value in attributes.items()
        if name in ("src", "href")
    ]
    assert len(sources) == 3 * 2 + 1 and all(source and source.startswith("data:") for source in sources)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    text = re.sub(
        r'(xmlns(:\w+)?|[\w:]+resource)="[^"]*"|<metadata>.*?</metadata>', "", path.read_text(), flags=re.DOTALL
    )
    assert "http" not in text


def test_the_numbers_are_there(tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]) -> None:
    page = Page(write_report(tmp_path, result, evaluation, RATE_HZ))
    assert "75.0 % success 95 % interval 30.1–95.4 %" in page.text
    assert "0.68 SPL" in page.text and "0.80 soft SPL" in page.text and "25.0 % collisions" in page.text
    assert "92 steps a second" in page.text and "0.5 s in all" in page.text
    assert "3 succeeded, 0 ran out of time, 1 collided" in page.text


def test_it_says_what_was_evaluated_and_takes_no_markup_from_names(
    tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]
) -> None:
    page = Page(write_report(tmp_path, result, evaluation, RATE_HZ))
    assert "policy runs/<b>mine</b>/policy.onnx goggles none seed 7" in page.text
    assert page.text.startswith("ChairNav: evaluation")


def test_failures_come_first(tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]) -> None:
    text = Page(write_report(tmp_path, result, evaluation, RATE_HZ)).text
    assert re.findall(r"Episode (\d): (\w+)", text) == [("2", "collision"), ("0", "success"), ("1", "success")]


def test_success_is_counted_for_every_chair_style(
    tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]
) -> None:
    text = Page(write_report(tmp_path, result, evaluation, RATE_HZ)).text
    assert "L shape 4 75 %" in text
    assert "Armchair 1 100 % Swivel 2 50 % Tub 2 100 %" in text


def test_the_learning_curve_is_shown_after_a_training_only(
    tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]
) -> None:
    assert Page(write_report(tmp_path, result, evaluation, RATE_HZ)).count("svg") == 0
    page = Page(write_report(tmp_path, result, evaluation, RATE_HZ, curve(4)))
    assert page.count("svg") == 1
    assert "success and SPL while training" in page.text and "4,000 steps in 4.0 minutes" in page.text


def test_the_curve_takes_the_colour_of_the_page_and_leaves_out_what_never_changes() -> None:
    svg = draw_curve(curve(4))
    assert svg.startswith("<svg") and "currentColor" in svg and "#000000" not in svg
    assert "progress, of an episode" in svg and "collision, of an episode" in svg
    assert "time, of an episode" not in svg


def test_a_term_that_comes_later_is_drawn_too() -> None:
    rows = curve(4)
    rows[0]["terms"], rows[2]["terms"]["late"] = {}, 1.0
    assert "late, of an episode" in draw_curve(rows) and "progress, of an episode" in draw_curve(rows)


def test_one_point_is_a_curve_too() -> None:
    assert "success and SPL" in draw_curve(curve(1))


def test_a_given_video_is_embedded_as_it_is(tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]) -> None:
    (tmp_path / "given.mp4").write_bytes(b"moving pictures")
    page = Page(write_report(tmp_path, result, evaluation, RATE_HZ, video=tmp_path / "given.mp4"))
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "video"]
    assert source == "data:video/mp4;base64," + base64.b64encode(b"moving pictures").decode()


def test_a_report_without_ffmpeg_says_so(
    tmp_path: Path, evaluation: Evaluation, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> int:
        raise VideoError("no FFmpeg here")

    monkeypatch.setattr(report, "write_video", fail)
    page = Page(write_report(tmp_path, result, evaluation, RATE_HZ))
    assert page.count("video") == 0 and "No video: no FFmpeg here" in page.text


def test_a_report_without_traces_has_no_pictures(
    tmp_path: Path, evaluation: Evaluation, result: dict[str, Any]
) -> None:
    bare = Evaluation(evaluation.episodes, [], evaluation.steps, evaluation.wall_seconds)
    page = Page(write_report(tmp_path, result, bare, RATE_HZ))
    assert page.count("img") == page.count("video") == 0 and page.open == []
