"""What a domain must not say: values out of bounds, and changes that would do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from simgym.config.option import check
from simgym.errors import UsageError

from .config import DOMAINS, DRAWN_LOOKS, ADRConfig, DomainConfig
from .terms import CHOICES, check_terms

GROUPS = ("look", "mistakes", "clutter", "dynamics")  # of terms, in `RandomizationConfig`
OFF = (0, 0)  # the range that switches off what a task may ignore


def check_domain(domain: DomainConfig, task: str = "", ignored: tuple[tuple[str, str], ...] = ()) -> None:
    """Raise UsageError naming the first value that is out of its bounds, or that was changed and would do nothing.

    What the domain's name implies may stand idle: `domain=randomized` can be switched off as a whole, and has terms
    that some tasks ignore. A domain of the user's own may take over what any of ours implies.

    Args:
        domain: what to check.
        task: whose environment it is for.
        ignored: how keys begin that do nothing in this task, and why.
    """
    check(domain, "domain.")
    for name in GROUPS:
        check_terms(getattr(domain.randomization, name), f"domain.randomization.{name}.")
    check_terms(domain.flaws, "domain.flaws.")
    usual = [DOMAINS[domain.name]] if domain.name in DOMAINS else list(DOMAINS.values())
    first, *others = (list(_changed(domain, other)) for other in usual)
    for key, value, subject in (change for change in first if all(change in other for other in others)):
        for starts, works, why, mend in _needs(domain):
            if not works and subject.startswith(starts):
                raise UsageError(f"{key}={value} does nothing {why}: {mend}")
        for start, why in ignored:
            if subject.startswith(start) and value != OFF:
                raise UsageError(f"{key}={value} does nothing in env={task}, where {why}: leave it out")


def _needs(domain: DomainConfig) -> list[tuple[tuple[str, ...], bool, str, str]]:
    """What keys need to do anything: how they begin, whether they do, why not, and how to mend it."""
    ranges = tuple(f"domain.randomization.{name}." for name in GROUPS)
    return [
        (
            (*ranges, *(f"domain.look={look}" for look in DRAWN_LOOKS), "domain.adr."),
            domain.randomization.enabled,
            "while randomization is off",
            "add domain.randomization.enabled=true, or take domain=randomized",
        ),
        (
            tuple(f"domain.adr.{item.name}=" for item in fields(ADRConfig) if item.name != "enabled"),
            domain.adr.enabled,
            "while automatic domain randomization is off",
            "add domain.adr.enabled=true, or take domain=adr",
        ),
        *(
            (
                (f"domain.randomization.{group}.",),
                domain.look == look,
                f"in domain.look={domain.look}",
                f"add domain.look={look}",
            )
            for look, group in DRAWN_LOOKS.items()
        ),
        (
            ("domain.place=", "domain.textures=", "domain.photo."),
            domain.look == "photo",
            f"in domain.look={domain.look}",
            "add domain.look=photo, or take domain=standin",
        ),
    ]


def _changed(config: Any, usual: Any, prefix: str = "domain.") -> Iterator[tuple[str, Any, str]]:
    """The dotted names and the values of ``config`` that differ from ``usual``, and what each is about.

    A value is about itself, ``key=value``, and the choice of a mode or distribution about the terms that it names.
    """
    for item in fields(config):
        value, other, key = getattr(config, item.name), getattr(usual, item.name), prefix + item.name
        if is_dataclass(value):
            yield from _changed(value, other, f"{key}.")
        elif value == other:
            continue
        elif item.name in CHOICES:
            yield from ((key, f"[{name}]", prefix + name) for name in value)
        else:
            yield key, value, f"{key}={value}"
