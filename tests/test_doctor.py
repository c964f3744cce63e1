"""The doctor tells the truth, and never dies."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from simgym import doctor
from simgym.doctor import BASE, TRAIN, Check, examine, main


def _raise(error: BaseException) -> str:
    raise error


def _noisy() -> str:
    print("hello from a library")
    warnings.warn("a library is old", DeprecationWarning, stacklevel=1)
    return "1.0"


GOOD = Check("base", "good", _noisy, BASE)
BROKEN = Check("train", "broken", lambda: _raise(OSError("libGL.so:\ncannot open")), TRAIN)
MISSING = Check("base", "gone", lambda: _raise(ModuleNotFoundError("no", name="gone")), BASE)


def test_a_result_says_what_happened() -> None:
    assert (examine(GOOD).status, examine(GOOD).detail) == ("ok", "1.0")
    assert (examine(BROKEN).status, examine(BROKEN).detail) == ("broken", "libGL.so: cannot open")
    assert (examine(MISSING).status, examine(MISSING).detail) == ("missing", "no module gone")


def test_libraries_cannot_spoil_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    main((GOOD,))
    out, err = capfd.readouterr()
    assert "hello" not in out and not err
    assert out.splitlines()[0].split() == ["base", "good", "ok", "1.0"]


def test_the_exit_code_is_about_the_base_install(capsys: pytest.CaptureFixture[str]) -> None:
    assert main((GOOD, BROKEN)) == 0
    assert TRAIN in capsys.readouterr().out
    assert main((GOOD, MISSING)) == 1
    assert BASE in capsys.readouterr().out


def test_every_remedy_is_named_once_for_all_that_it_mends(capsys: pytest.CaptureFixture[str]) -> None:
    other = Check("train", "other", BROKEN.run, TRAIN)
    main((BROKEN, other))
    assert f"simulation and training: without broken, other. {TRAIN}" in capsys.readouterr().out


def test_it_works_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    checks = tuple(check for check in doctor.CHECKS if check.part in ("base", "train"))
    assert main(checks) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("base", "train"))]
    assert len(lines) == len(checks)
    assert [line for line in lines if " ok " not in line] == []


def test_it_runs_where_nothing_is_installed() -> None:
    """Isolated and without site-packages, the standard library alone is left."""
    root = Path(doctor.__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import simgym.doctor as d; sys.exit(d.main())"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and not done.stderr
    assert "missing  no module numpy" in done.stdout
