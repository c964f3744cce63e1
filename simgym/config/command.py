"""What every command shares: the command line in, the exit code out.

Example::

    def main(config: TrainConfig) -> None: ...

    if __name__ == "__main__":
        sys.exit(run_command(TrainConfig, main))
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from ..errors import UsageError, UserError, install_command
from .run_dir import default_out, to_yaml

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_command(schema: type, main: Callable[[Any], int | None], argv: Sequence[str] | None = None) -> int:
    """Parse, check, run; every expected failure is one line on stderr.

    All jobs of a sweep are composed and checked before the first one runs.

    Args:
        schema: a frozen dataclass of `option` fields. If it has a field ``out``, that is filled with a run folder.
        main: what to run, given a ``schema`` instance; its module's docstring opens the ``--help`` text. It imports
            heavy libraries inside, so that help and mistakes are answered at once.
        argv: the words after the command; by default those of the process.

    Returns:
        The exit code: 0, 1 for a failure that the user can mend, 2 for a wrong command line, 130 after Ctrl-C.
    """
    module = sys.modules[main.__module__]
    command = module.__spec__.name if module.__spec__ else main.__module__
    return _guard(command, lambda: _run(command, module.__doc__ or "", schema, main, argv))


def _run(
    command: str, description: str, schema: type, main: Callable[[Any], int | None], argv: Sequence[str] | None
) -> int:
    from .compose import compose_config, expand  # Hydra: absent from the base install
    from .help import help_text

    words = _parser(command).parse_intermixed_args(argv)
    if words.help:
        print(help_text(command, schema, description, words.overrides))
        return 0
    jobs = expand(schema, words.overrides, words.multirun)
    configs: list[Any] = [compose_config(schema, job, words.config_dir) for job in jobs]
    if words.cfg:
        print("---\n".join(to_yaml(config) for config in configs), end="")
        return 0
    configs = _with_out(configs, command)
    if len(configs) == 1:
        return _call(main, configs[0])
    return _sweep(command, main, jobs, configs)


def _sweep(command: str, main: Callable[[Any], int | None], jobs: list[list[str]], configs: list[Any]) -> int:
    """Run one job after the other; a failed one does not stop the rest, but shows in the exit code."""
    codes = []
    for number, (job, config) in enumerate(zip(jobs, configs, strict=True), 1):
        print(f"{command}: job {number} of {len(jobs)}: {' '.join(job)}", flush=True)
        codes.append(_guard(command, partial(_call, main, config)))
        if codes[-1] == INTERRUPTED:
            break
    return max(codes)


def _call(main: Callable[[Any], int | None], config: Any) -> int:
    return main(config) or 0


def _with_out(configs: list[Any], command: str) -> list[Any]:
    """Give every job a run folder of its own."""
    if not hasattr(configs[0], "out"):
        return configs
    if len(configs) == 1:
        return [replace(configs[0], out=default_out(configs[0], command))]
    outs = [config.out or getattr(config, "resume", None) for config in configs]
    if None not in outs and len(set(outs)) == len(outs):
        return [replace(config, out=out) for config, out in zip(configs, outs, strict=True)]
    parent = default_out(configs[0], command)
    return [replace(config, out=f"{config.out or parent}/{i}") for i, config in enumerate(configs)]


def _guard(command: str, run: Callable[[], int]) -> int:
    try:
        return run()
    except UserError as error:
        return _fail(command, str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(command, "interrupted", INTERRUPTED)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("", "simgym"):
            raise  # a mistake of ours, not an incomplete installation
        return _fail(command, f"needs the package {package!r}: {install_command('train')}")
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(command, f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _fail(command: str, message: str, exit_code: int = 1) -> int:
    hint = f" (python -m {command} --help)" if exit_code == UsageError.exit_code else ""
    print(f"{command}: {' '.join(message.split())}{hint}", file=sys.stderr)
    return exit_code


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and leave."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser(command: str) -> _Parser:
    parser = _Parser(prog=command, add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--cfg", choices=["job"])
    parser.add_argument("--config-dir")
    parser.add_argument("overrides", nargs="*")
    return parser
