"""Reading the data sheets that environments have as docstrings."""

from __future__ import annotations

import inspect


def section(env_class: type, title: str) -> str:
    """The text below a heading."""
    return (inspect.getdoc(env_class) or "").split(f"## {title}\n")[1].split("\n## ")[0]


def table(text: str) -> list[dict[str, str]]:
    """Rows of every markdown table of a text, cells by the table's heading."""
    rows: list[dict[str, str]] = []
    heading: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            heading = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not heading:
            heading = cells
        elif not set(line) <= set("|- "):
            rows.append(dict(zip(heading, cells, strict=True)))
    return rows
