"""From `key=value` words to a typed configuration, by Hydra: its override grammar, groups, sweeps and search path.

Hydra composes plain dictionaries; OmegaConf then converts them, key by key, into the frozen dataclasses of the schema.
Every mistake comes out as a `UsageError` with one line.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml
from hydra import compose, initialize, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from ..errors import UsageError, UserError
from .option import Key, check, walk
from .schema import GROUPS, group_defaults, group_keys, group_of, key_of

Config = TypeVar("Config")

TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
TYPE_NAMES |= {kind | None: f"{name} or null" for kind, name in TYPE_NAMES.items()}  # type: ignore[misc]
PRIMARY = "simgym"  # the name under which Hydra's store holds the schema that is being composed


def expand(schema: type, words: Sequence[str], sweep: bool) -> list[list[str]]:
    """Check the keys of an override list and multiply its sweeps out.

    Args:
        schema: the dataclass whose keys are allowed.
        words: the override list, ``key=value`` each.
        sweep: whether a key may list several values (``-m``).

    Returns:
        One override list a job; exactly one without a sweep.
    """
    overrides = [parse(word) for word in words]
    keys = {key.name: key for key in walk(schema, types=chosen_types(choices_of(schema, overrides)))}
    for override in overrides:
        _check_key(override, keys)
        if override.is_sweep_override() and not sweep:
            key, value = override.get_key_element(), override.get_value_string()
            raise UsageError(f"{key}={value} lists several values: add -m to run each, or write '{key}=[{value}]'")
    return [list(job) for job in itertools.product(*(_values(override) for override in overrides))]


def choices_of(schema: type, overrides: Sequence[Override]) -> dict[str, str]:
    """What these choose of each group that a schema uses, whether there is such an option or not."""
    values = {override.key_or_group: override.value() for override in overrides}
    chosen = {group: value for group, value in values.items() if isinstance(value, str) and group in GROUPS}
    return _defaults(schema, chosen.get("env")) | chosen


def chosen_options(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen options, by the key that selects each; unknown choices are left out."""
    options = {key_of(group): GROUPS[group].get(choice) for group, choice in choices.items() if group in GROUPS}
    return {key: option for key, option in options.items() if option is not None}


def chosen_types(choices: Mapping[str, Any]) -> dict[str, type]:
    """The dataclass of each chosen option, by the key that selects it; unknown choices are left out."""
    return {key: type(option) for key, option in chosen_options(choices).items()}


def compose_config(schema: type[Config], overrides: Sequence[str], config_dir: str | None = None) -> Config:
    """One checked configuration.

    Args:
        schema: a frozen dataclass; its fields that are named like a group in `GROUPS` select an option.
        overrides: ``key=value`` each, without sweeps.
        config_dir: a folder with further options of groups, as YAML (``<config_dir>/domain/my_lab.yaml``).
    """
    _store(schema, overrides)
    try:
        with _hydra(config_dir):
            composed = compose(PRIMARY, overrides=list(overrides), return_hydra_config=True)
        choices = dict(composed.hydra.runtime.choices)
        values = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    except MissingConfigException as error:
        raise UsageError(_missing_choice(error, overrides)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(_one_line(error)) from error
    return _to_typed(schema, values, choices)


def load_config(schema: type[Config], path: str | Path) -> Config:
    """Read the ``config.yaml`` of a run back, typed and checked."""
    try:
        data = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the configuration {path}: {_one_line(error)}") from error
    if not isinstance(data, dict):
        raise UserError(f"cannot read the configuration {path}: it is not a mapping")
    values = OmegaConf.create(data)
    choices = {group: OmegaConf.select(values, f"{key_of(group)}.name") for group in GROUPS}
    return _to_typed(schema, values, choices)


def _hydra(config_dir: str | None) -> AbstractContextManager[Any]:
    if config_dir is None:
        return initialize(version_base="1.3", config_path=None)
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise UsageError(f"--config-dir {config_dir}: no such folder")
    return initialize_config_dir(version_base="1.3", config_dir=str(folder))


def _store(schema: type, overrides: Sequence[str]) -> None:
    """Tell Hydra the schema's defaults and its groups' options, as plain dictionaries.

    Dictionaries, because Hydra cannot write into frozen dataclasses; the types come back in `_to_typed`.
    """
    store = ConfigStore.instance()
    for group in GROUPS:  # the store is one for the process: a key of this schema may be a group of the last one's
        store.repo.pop(group.partition("/")[0], None)
    task = next((word.partition("=")[2] for word in overrides if word.startswith("env=")), None)
    groups = _defaults(schema, task)
    for name in groups:
        for choice, option in GROUPS[name].items():
            store.store(group=name, name=choice, node=_plain(option))
    own = _without(_plain(schema), {key_of(group) for group in groups})
    defaults = [{name: choice} for name, choice in groups.items()]
    store.store(name=PRIMARY, node={"defaults": [*defaults, "_self_"], **own})


def _defaults(schema: type, task: str | None) -> dict[str, str]:
    """The default of each group; the learner's settings are those for the task."""
    groups = group_defaults(schema)
    if "algo" in groups and task in GROUPS["algo"]:
        groups["algo"] = str(task)
    return groups


def _without(values: dict[str, Any], left_out: Set[str], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary without the entries of these dotted names."""
    return {
        key: _without(value, left_out, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in values.items()
        if prefix + key not in left_out
    }


def _plain(node: Any) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.structured(node))  # type: ignore[return-value]


def _to_typed(schema: type[Config], values: DictConfig, choices: dict[str, str]) -> Config:
    keys = {key.name: key for key in walk(schema, types=chosen_types(choices))}
    try:
        typed = OmegaConf.structured(schema)
        _unlock(typed)
        for group, key in group_keys(schema).items():
            if choices.get(group) in GROUPS[group]:
                option = GROUPS[group][choices[group]]
                _check_option(key, group, option)
                OmegaConf.update(typed, key.name, OmegaConf.structured(option), merge=False)
        _unlock(typed)
        typed.merge_with(_whole_numbers(values, keys))
        _check_required(typed, keys)
        config = _with_tuples(OmegaConf.to_object(typed))
    except OmegaConfBaseException as error:
        raise UsageError(_type_error(error, values, keys)) from error
    check(config)
    return config


def _check_option(key: Key, group: str, option: Any) -> None:
    """Raise UsageError where a schema takes only some of a group's options: those of its field's type."""
    if not isinstance(option, key.type):
        known = [name for name, other in GROUPS[group].items() if isinstance(other, key.type)]
        raise UsageError(f"{group}={option.name}: this command takes {group}={' or '.join(known)} so far")


def _whole_numbers(values: DictConfig, keys: Mapping[str, Key]) -> DictConfig:
    """Let 1e6 be a whole number where one is expected."""
    for name, key in keys.items():
        value = OmegaConf.select(values, name)
        if key.type is int and isinstance(value, float) and value.is_integer():
            OmegaConf.update(values, name, int(value))
    return values


def _check_required(typed: DictConfig, keys: Mapping[str, Key]) -> None:
    missing = OmegaConf.missing_keys(typed)
    for name in (name for name in keys if name in missing):
        raise UsageError(f"{name}= is required: {keys[name].meaning}")


def _unlock(node: DictConfig) -> None:
    """Frozen dataclasses become read-only nodes; let the command line's values in."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_missing():
            _unlock(child)


def _with_tuples(config: Any) -> Any:
    """OmegaConf knows lists only; give fields annotated as tuples their type back, so that the result is hashable."""
    changed = {}
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if hasattr(value, "__dataclass_fields__"):
            changed[name] = _with_tuples(value)
        elif get_origin(hint) is tuple and isinstance(value, list):
            if len(value) != len(get_args(hint)) and ... not in get_args(hint):
                raise UsageError(f"{name}={value}: expected {_type_name(hint)}")
            changed[name] = tuple(value)
    return replace(config, **changed)


def parse(word: str) -> Override:
    """One ``key=value`` word.

    Raises:
        UsageError: it is none.
    """
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except OverrideParseException as error:
        if "=" not in word:
            raise UsageError(f"{word!r} is not of the form key=value") from error
        key, value = word.split("=", 1)
        raise UsageError(f"{word}: put special characters in quotes within quotes: '{key}=\"{value}\"'") from error
    return override


def _check_key(override: Override, keys: dict[str, Key]) -> None:
    word = override.get_key_element()
    if override.type is not OverrideType.CHANGE:
        raise UsageError(f"{override.input_line}: write key=value; keys cannot be added or deleted with + or ~")
    name = key_of(word) if word in GROUPS else word
    if name not in keys:
        raise UsageError(f"unknown key {word!r}{did_you_mean(word, _spelled(keys))}")
    parent, _, last = name.rpartition(".")
    group = group_of(parent if last == "name" else word)
    if word in GROUPS and not override.is_sweep_override() and not isinstance(override.value(), str):
        raise UsageError(_no_such(word, override.get_value_string(), list(GROUPS[word])))
    if group in GROUPS and group != word:
        raise UsageError(f"{word} cannot be set: choose with {group}={override.get_value_string()}")
    if keys[name].is_node and word not in GROUPS:
        first = next(other for other in _spelled(keys) if key_of(other).startswith(f"{name}."))
        raise UsageError(f"{name} is a group of keys: set one of them, such as {first}=...")


def _spelled(keys: Mapping[str, Key]) -> list[str]:
    """Keys as a command line has them: those that select an option by the name of their group."""
    return [group_of(name) if group_of(name) in GROUPS else name for name in keys]


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise UsageError(f"{override.input_line}: only lists (a,b,c), choice(...) and range(...) can be swept")
    try:
        return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    except HydraException as error:
        raise UsageError(f"{override.input_line}: list the values instead of a pattern") from error


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'x'?`` or nothing; ``n_steps`` alone finds ``algo.n_steps``."""
    same_tail = [key for key in known if key.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    tails = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
    similar_tail = [tails[tail] for tail in difflib.get_close_matches(name, list(tails), n=1, cutoff=0.75)]
    close = same_tail or difflib.get_close_matches(name, known, n=1, cutoff=0.5) or similar_tail
    return f"; did you mean {close[0]!r}?" if close else ""


def _missing_choice(error: MissingConfigException, overrides: Sequence[str]) -> str:
    wanted = error.missing_cfg_file or ""
    group, _, choice = str(wanted).rpartition("/")
    return _no_such(group, choice, list(error.options or GROUPS.get(group, {})))


def _no_such(group: str, choice: str, options: list[str]) -> str:
    return f"{group}={choice}: no such {group} (choose from {', '.join(options)}){did_you_mean(choice, options)}"


def _type_error(error: OmegaConfBaseException, values: DictConfig, keys: Mapping[str, Key]) -> str:
    name = str(error.full_key).partition("[")[0]  # without the index into a list
    if name not in keys or not isinstance(error, ValidationError):
        return f"{error.full_key}: {_one_line(error)}"
    return f"{name}={OmegaConf.select(values, name)}: expected {_type_name(keys[name].type)}"


def _type_name(hint: Any) -> str:
    if get_origin(hint) is tuple:
        count = "" if ... in get_args(hint) else f"{len(get_args(hint))} "
        return f"{count}values in brackets, each {_type_name(get_args(hint)[0])}"
    return TYPE_NAMES.get(hint, str(hint))


def _one_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
