"""Lists the commands: `python -m simgym`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
MAIN_GUARD = 'if __name__ == "__main__":'


def commands() -> dict[str, str]:
    """Each command with the first line of its docstring; read, not imported, so that it is quick and always works."""
    files = sorted(PACKAGE.glob("*.py")) + sorted(PACKAGE.glob("goggles/*.py"))
    sources = {path: path.read_text(encoding="utf-8") for path in files if path != Path(__file__)}
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): _first_line(source)
        for path, source in sources.items()
        if MAIN_GUARD in source
    }


def _first_line(source: str) -> str:
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]


def main(words: list[str]) -> int:
    """Print the list; words are a mistake. Returns the exit code."""
    found = commands()
    if words and words not in (["--help"], ["-h"]):
        print(
            f"simgym: no command {words[0]!r}: a command is run as python -m simgym.{next(iter(found))}",
            file=sys.stderr,
        )
        return 2
    width = max(map(len, found), default=0)
    print("simgym: train a policy in simulation, run it in the real world.\n")
    for name, meaning in found.items():
        print(f"  python -m simgym.{name:<{width}}  {meaning}")
    print("\n`python -m simgym.<command> --help` says what a command can be told, as key=value words.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
