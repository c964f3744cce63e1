"""What every benchmark's command line shares."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from simgym.cores import usable_cores


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with ``--json``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--json", type=Path, default=Path("runs/benchmarks") / f"{name}.json", help="default: %(default)s"
    )
    return made


def print_machine() -> None:
    """One line on what the figures were measured on."""
    print(f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}")


def write(path: Path, figures: Any) -> None:
    """Write the figures as JSON and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"wrote {path}")
