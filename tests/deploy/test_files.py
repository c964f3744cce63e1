"""A file is whole or absent."""

import pytest

from simgym.deploy.files import atomic_path


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
