"""Automatic domain randomization: ranges that widen where a policy copes and narrow where it does not.

After OpenAI et al. 2019 (arXiv:1910.07113, section 5 and algorithm 1). Every range of a domain's terms starts at its
nominal value and may grow up to what the domain states. With probability ``boundary_probability`` an episode pins
one end of one range at its present bound and draws everything else within the present ranges; the success of so many
such episodes decides whether that bound moves out, moves in, or stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, replace
from typing import Any

import numpy as np

from simgym.errors import UserError

from .config import DRAWN_LOOKS, DomainConfig, term_groups, with_term_groups
from .terms import is_whole, terms_of

ENDS = ("low", "high")
SMALLEST_SHARE = 0.01  # of a full range: a width of nothing has no logarithm


@dataclass(frozen=True)
class Boundary:
    """One end of one range."""

    index: int  # into `Curriculum.names`
    upper: bool

    @property
    def key(self) -> str:
        """Its name in a `Curriculum.state`."""
        return f"{self.index}/{int(self.upper)}"


class Curriculum:
    """The present ranges, and how the policy fares at their ends.

    Args:
        domain: has the ranges to grow into, and how fast.
        ignored: how keys begin that do nothing in the task, and why: their ranges take no part.

    Attributes:
        names: ``group.range`` of every range that can grow.
        bounds: (R, 2) the present lowest and highest values.
    """

    def __init__(self, domain: DomainConfig, ignored: tuple[tuple[str, str], ...] = ()) -> None:
        self._full, self._config, groups = domain, domain.adr, term_groups(domain)
        found = list(_growing(domain, ignored))
        self.names = tuple(f"{group}.{item.name}" for group, item in found)
        self._places = [(group, item.name) for group, item in found]
        self._limits = np.array([getattr(groups[group], item.name) for group, item in found], float)  # (R, 2)
        self._whole = np.array([is_whole(item) for _, item in found])
        nominal = np.array([_nominal(item, limits) for (_, item), limits in zip(found, self._limits, strict=True)])
        self.bounds = np.stack([nominal, nominal], axis=1)
        self._step = domain.adr.step * (self._limits[:, 1] - self._limits[:, 0])  # (R,)
        self._outcomes: dict[Boundary, list[bool]] = {}
        self._rates: dict[Boundary, float] = {}  # of success, when a boundary was last decided on

    def draw(self, rng: np.random.Generator) -> tuple[DomainConfig, Boundary | None]:
        """The domain of one episode, with the present ranges, and the boundary that it pins, if any."""
        pin = None
        if self.names and rng.random() < self._config.boundary_probability:
            pin = Boundary(int(rng.integers(len(self.names))), bool(rng.random() < 0.5))
        groups: dict[str, dict[str, Any]] = {}
        for index, (group, name) in enumerate(self._places):
            low, high = self.bounds[index]
            if pin is not None and pin.index == index:
                low = high = high if pin.upper else low
            kind = round if self._whole[index] else float
            groups.setdefault(group, {})[name] = (kind(low), kind(high))
        full = term_groups(self._full)
        changed = {group: replace(full[group], **ranges) for group, ranges in groups.items()}
        return with_term_groups(self._full, changed), pin

    def record(self, boundary: Boundary, success: bool) -> None:
        """Take in how an episode at a boundary ended; moves the boundary once enough of them have."""
        outcomes = self._outcomes.setdefault(boundary, [])
        outcomes.append(success)
        if len(outcomes) < self._config.episodes:
            return
        rate = self._rates[boundary] = sum(outcomes) / len(outcomes)
        outcomes.clear()
        if rate >= self._config.widen_at:
            self._move(boundary, outwards=True)
        elif rate <= self._config.narrow_at:
            self._move(boundary, outwards=False)

    def _move(self, boundary: Boundary, outwards: bool) -> None:
        """By one step, not beyond the full range, and not past the other end."""
        i, end = boundary.index, int(boundary.upper)
        sign = 1 if boundary.upper == outwards else -1
        inner, outer = self.bounds[i, 1 - end], self._limits[i, end]
        low, high = min(inner, outer), max(inner, outer)
        self.bounds[i, end] = np.clip(self.bounds[i, end] + sign * self._step[i], low, high)

    @property
    def entropy(self) -> float:
        """Mean logarithm of a range's width as a share of its full width, in nats; 0 once all are full."""
        if not self.names:
            return 0.0
        share = (self.bounds[:, 1] - self.bounds[:, 0]) / (self._limits[:, 1] - self._limits[:, 0])
        return float(np.log(np.maximum(share, SMALLEST_SHARE)).mean())

    def facts(self) -> dict[str, float]:
        """Both bounds of every range, how often it went well there, and the entropy, by name, for logs."""
        ends = [(i, bool(k), f"{name}/{end}") for i, name in enumerate(self.names) for k, end in enumerate(ENDS)]
        bounds = {name: float(self.bounds[i, int(upper)]) for i, upper, name in ends}
        rates = {f"{name}_success": self._rates.get(Boundary(i, upper)) for i, upper, name in ends}
        return bounds | {name: rate for name, rate in rates.items() if rate is not None} | {"entropy": self.entropy}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain numbers, strings, lists and dicts."""
        outcomes = {b.key: list(row) for b, row in self._outcomes.items()}
        rates = {b.key: rate for b, rate in self._rates.items()}
        return {"names": list(self.names), "bounds": self.bounds.tolist(), "outcomes": outcomes, "rates": rates}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`. Raises UserError for that of other ranges."""
        if tuple(state["names"]) != self.names:
            raise UserError(
                f"the checkpoint's curriculum is of other ranges ({', '.join(state['names'])}) than this version's: "
                "begin anew, with start= to keep the weights"
            )
        self.bounds = np.array(state["bounds"], float)
        self._outcomes = {_boundary(key): [bool(value) for value in row] for key, row in state["outcomes"].items()}
        self._rates = {_boundary(key): float(rate) for key, rate in state["rates"].items()}


def _boundary(key: str) -> Boundary:
    """From its name in a `Curriculum.state`."""
    index, upper = key.split("/")
    return Boundary(int(index), upper == "1")


def _growing(domain: DomainConfig, ignored: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, Field[Any]]]:
    """Every term that is drawn from more than one value, with the group it is in.

    Args:
        domain: whose terms.
        ignored: how keys begin that do nothing in the task, and why.
    """
    look = DRAWN_LOOKS.get(domain.look)
    for group, terms in term_groups(domain).items():
        if group == "look" and look is None:
            continue
        prefix = "domain.flaws." if group == "flaws" else f"domain.randomization.{look if group == 'look' else group}."
        for name, term in terms_of(terms).items():
            low, high = getattr(terms, name)
            if low < high and not (prefix + name).startswith(tuple(start for start, _ in ignored)):
                yield group, term


def _nominal(item: Field[Any], limits: np.ndarray) -> float:
    """Where a range starts: what it stands for where nothing is randomized, or the nearest value to it.

    That is what the term declares, else its default if this is one value (flaws are off), else the middle.
    """
    stated: Any = item.metadata.get("nominal")
    default: Any = item.default
    if stated is None and default[0] == default[1]:
        stated = default[0]
    middle = math.fsum(limits) / 2
    return float(np.clip(middle if stated is None else stated, *limits))
