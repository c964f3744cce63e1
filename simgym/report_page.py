"""Reports: one HTML file with everything in it, which any browser shows without a network. What all of them share."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .files import atomic_path

SHARED = Path(__file__).parent / "templates"
VOID = (44, 47, 56)  # around pictures, where nothing is


def write_page(path: str | Path, template: Path, **values: Any) -> None:
    """Fill in a Jinja2 template, which may include the shared ``style.html.j2``, and write the page whole."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name).render(**values)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def encode(image: np.ndarray, suffix: str, options: Sequence[int] = ()) -> str:
    """A picture (H, W, 3) uint8 RGB as a data address."""
    _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return data_uri(data.tobytes(), {".jpg": "image/jpeg", ".png": "image/png"}[suffix])


def data_uri(data: bytes, media_type: str) -> str:
    """A file's content as an address that a page can hold."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def tile(
    images: Sequence[np.ndarray], columns: int, gap_px: int = 2, colour: tuple[int, int, int] = VOID
) -> np.ndarray:
    """Images of one size as a grid, row by row, (H, W, 3) uint8."""
    height, width, _ = images[0].shape
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px, 3), colour, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap_px), i % columns * (width + gap_px)
        sheet[top : top + height, left : left + width] = image
    return sheet


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel as a square of ``factor`` pixels, as the robot sees it."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
