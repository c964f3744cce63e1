"""Terms: the ranges that are randomized, when each is drawn and by which distribution.

The words are those of Isaac Lab's event terms. A term is declared once, as a `span` with an operation in a group of
terms (`simgym.envs.config`), and drawn in one place, `Drawing.draw`. A group says which of its terms are drawn other
than evenly at every reset.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np

from simgym.config.option import option, span
from simgym.errors import UsageError

STARTUP_STREAM = 7  # of a world's startup seed
INTERVAL_STREAM, CLOCK_STREAM = 8, 9  # of an episode's seed; those below are the simulation's, and the flaws'
DEVIATIONS = 2.0  # from the middle of a range to its ends, where the normal distribution is cut off


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A group of terms: its fields that have an operation. Each is drawn evenly at every reset, but for those named."""

    startup: tuple[str, ...] = option((), "terms of this group that a world draws once and keeps over its episodes")
    log_uniform: tuple[str, ...] = option((), "terms of this group that are drawn evenly in their logarithm")
    gaussian: tuple[str, ...] = option(
        (), f"terms of this group that are drawn normally, cut off at the range's ends, {DEVIATIONS:g} deviations out"
    )


@dataclass(frozen=True, kw_only=True)
class LiveTerms(Terms):
    """A group with terms that can change in the middle of an episode."""

    interval: tuple[str, ...] = option((), "terms of this group, live ones, that a running episode draws again")
    interval_s: tuple[float, float] = span((2.0, 6.0), "from one such draw to the next", unit="s", low=0.01)


MODES, DISTRIBUTIONS = ("startup", "interval"), ("log_uniform", "gaussian")  # beside reset and uniform
CHOICES = MODES + DISTRIBUTIONS  # the keys of a group that name terms


def terms_of(group: Any) -> dict[str, Field[Any]]:
    """The terms that a dataclass declares, by name."""
    return {item.name: item for item in fields(group) if item.metadata.get("operation")}


def is_whole(term: Field[Any]) -> bool:
    """Whether a term has whole numbers only."""
    default: Any = term.default
    return isinstance(default[0], int)


def named(group: Terms, choices: tuple[str, ...] = CHOICES) -> list[tuple[str, str]]:
    """The choices that a group makes for its terms, as pairs of choice and term."""
    return [(choice, name) for choice in choices for name in getattr(group, choice, ())]


def check_terms(group: Terms, prefix: str) -> None:
    """Raise UsageError for the first choice that a group, whose keys begin with ``prefix``, cannot make for a term."""
    terms = terms_of(group)
    for choice, name in named(group):
        key = f"{prefix}{choice}=[{name}]"
        if name not in terms:
            raise UsageError(f"{key}: no such term; choose from {', '.join(terms)}")
        low, high = getattr(group, name)
        if choice == "interval" and not terms[name].metadata["live"]:
            raise UsageError(f"{key}: only a reset can change it; leave it out, or name it in {prefix}startup")
        if choice == "log_uniform" and low <= 0:
            raise UsageError(f"{key}: {prefix}{name}=[{low},{high}] must lie above 0 to have logarithms")
        if low == high:
            raise UsageError(f"{key} does nothing: {prefix}{name}=[{low},{high}] holds one value; widen it")
    if isinstance(group, LiveTerms) and not group.interval and group.interval_s != LiveTerms.interval_s:
        low, high = group.interval_s
        raise UsageError(f"{prefix}interval_s=[{low},{high}] does nothing: name terms in {prefix}interval")
    for rivals in (MODES, DISTRIBUTIONS):
        names = [name for _, name in named(group, rivals)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{prefix}{twice} is named twice in {' and '.join(rivals)}: name it once, in one of them")


@dataclass(frozen=True)
class Drawing:
    """How an episode draws the terms of a group.

    Args:
        group: ranges, modes and distributions.
        startup_seed: of the world; what it draws once depends on this alone.
        episode_seed: of the episode.
        times: how often the episode has drawn its interval terms again.
    """

    group: Any  # of `Terms`
    startup_seed: int = 0
    episode_seed: int = 0
    times: int = 0

    def draw(self, rng: np.random.Generator, name: str, size: int | None = None) -> Any:
        """One value of a term, or (size,) values: from ``rng``, or as its mode says from a stream of its own.

        ``rng`` moves on in any case, so that the mode of one term changes no other draw.
        """
        value, stream = self._sample(rng, name, size), self._stream(name)
        return value if stream is None else self._sample(np.random.default_rng(stream), name, size)

    def _stream(self, name: str) -> list[int] | None:
        if name in self.group.startup:
            return [self.startup_seed, STARTUP_STREAM, *name.encode()]
        if self.times and name in self.group.interval:
            return [self.episode_seed, INTERVAL_STREAM, self.times, *name.encode()]
        return None

    def _sample(self, rng: np.random.Generator, name: str, size: int | None) -> Any:
        (low, high), group = getattr(self.group, name), self.group
        whole = is_whole(type(group).__dataclass_fields__[name])
        distribution = next((choice for choice in DISTRIBUTIONS if name in getattr(group, choice)), "uniform")
        if distribution == "uniform":
            return rng.integers(low, high + 1, size) if whole else rng.uniform(low, high, size)
        values = np.asarray(quantile(distribution, rng.random(size), low, high + 1 if whole else high))
        if whole:
            values = np.minimum(values.astype(int), high)
        return values.item() if size is None else values

    def next_interval_s(self) -> float:
        """Seconds from the last draw of the interval terms to the next."""
        kind = type(self.group).__name__.encode()
        rng = np.random.default_rng([self.episode_seed, CLOCK_STREAM, self.times, *kind])
        return float(rng.uniform(*self.group.interval_s))


def quantile(distribution: str, share: Any, low: float, high: float) -> Any:
    """Where in ``low``..``high`` a distribution has a ``share`` in 0..1, a number or (n,), of its values below it."""
    if distribution == "log_uniform":
        return np.clip(low * (high / low) ** share, low, high)
    normal = NormalDist()
    tail = normal.cdf(-DEVIATIONS)
    deviations = np.vectorize(normal.inv_cdf, otypes=[float])(tail + share * (1 - 2 * tail))
    return np.clip((low + high) / 2 + deviations * (high - low) / (2 * DEVIATIONS), low, high)
