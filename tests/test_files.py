"""A file is whole or absent."""

import errno
import resource
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from simgym.files import atomic_path, decode_image, remove_leftovers, write_bytes, write_image


def test_success_replaces(tmp_path):
    path = tmp_path / "new" / "picture.png"
    for text in ("first", "second"):
        with atomic_path(path) as temporary:
            assert temporary.suffix == ".png" and temporary.parent == path.parent
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def full_disk(size=1000):
    """No file can grow beyond ``size`` bytes: the operating system refuses, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_bytes(path, bytes(5000)),
        lambda path: write_image(path, np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)),
    ],
)
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, write):
    path = tmp_path / "picture.png"
    path.write_bytes(b"earlier")
    with pytest.raises(OSError) as caught, full_disk():
        write(path)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_the_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "policy.onnx") as temporary, full_disk():
        write_bytes(temporary, bytes(5000))
    assert caught.value.filename == str(tmp_path / "policy.onnx")


def test_a_picture_is_written_in_rgb(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    write_image(tmp_path / "new" / "picture.png", image)
    read = cv2.imread(str(tmp_path / "new" / "picture.png"))
    assert read is not None
    np.testing.assert_array_equal(read[..., ::-1], image)


def test_what_a_killed_process_left_is_removed(tmp_path):
    with atomic_path(tmp_path / "run" / "policy.onnx") as temporary:
        temporary.write_text("half")
        left = temporary.with_name(temporary.name.replace("policy", "killed"))
        left.write_text("half")
    (tmp_path / "run" / ".hidden.1234").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"policy.onnx", ".hidden.1234"}


PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encoded(suffix: str) -> bytes:
    ok, data = cv2.imencode(suffix, PICTURE)
    assert ok
    return data.tobytes()


@pytest.mark.parametrize(("suffix", "spare"), [(".jpg", 0), (".png", 4)])  # a PNG's last four bytes are a checksum
def test_a_picture_that_is_cut_off_anywhere_is_none(suffix: str, spare: int) -> None:
    whole = encoded(suffix)
    shape = PICTURE.shape
    assert [n for n in range(len(whole) - spare) if decode_image(whole[:n]) is not None] == []
    for more in (whole, whole + b"\xff\xda and what a phone puts behind it"):
        image = decode_image(more)
        assert image is not None and image.shape == shape


def test_a_thumbnails_end_is_not_the_pictures() -> None:
    whole = encoded(".jpg")
    thumbnail = b"Exif\0\0" + whole[:200] + b"\xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_it = whole[:2] + segment + whole[2:]
    assert decode_image(with_it) is not None and decode_image(with_it[:-40]) is None
