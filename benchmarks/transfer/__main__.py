"""The transfer table, from frames to numbers: ``python -m benchmarks.transfer [--plan]``.

Collects frames, trains goggles by every method, and evaluates a policy that knows simulation only behind each of them
in the stand-in: in places that the goggles know (the halves of the table are called so), in new ones, and on real
photographs if there are any. Rows are compared with each other on the same episodes.

Every piece is a run folder in --out. What is finished is not made again, and a training that was stopped goes on: so
rows can be added (--rows none,color), and the same command after Ctrl-C ends what it began. The table has all that is
finished.
Words after the options are for every simgym.goggles.train, such as batch_size=8, or for that of one row:
hybrid_resnet9:steps=2000.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _figures
from simgym.envs.tasks import TASKS
from simgym.errors import UsageError, UserError
from simgym.files import write_bytes, write_image

from .pictures import draw_half
from .pieces import Piece, closure, describe, make
from .plan import HALVES, NEW, SAME, Options, Plan, all_rows, make_plan
from .table import as_json, as_markdown, gather


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is asked for and is not finished, then the table of all that is; the exit code."""
    arguments = _parser().parse_intermixed_args(argv)
    try:
        return _run(arguments)
    except UserError as error:
        print(f"benchmarks.transfer: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    rows = all_rows(list(options.policies))
    names = _known("rows", arguments.rows, [row.name for row in rows])
    halves = _known("halves", arguments.halves, list(HALVES))
    wanted = make_plan(options, [row for row in rows if row.name in names], halves)
    pieces = closure(_pieces(wanted))
    print(describe(pieces))
    if arguments.plan:
        return 0
    failed = make(pieces, arguments.redo)
    _write(make_plan(options, rows), options, arguments.json)
    for name, why in failed.items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    return 1 if failed else 0


def _pieces(plan: Plan) -> list[Piece]:
    """What judges; `closure` adds what it is made from."""
    judging = [piece for cell in plan.cells for piece in (cell.evaluation, cell.measures) if piece is not None]
    return [*judging, *plan.photographs.values()]


def _write(plan: Plan, options: Options, path: Path) -> None:
    halves, photographs = gather(plan)
    content = as_json(halves, photographs, options.env)
    markdown = as_markdown(content)
    print(f"\n{markdown}")
    write_bytes(options.out / "transfer.md", markdown.encode())
    for half in (SAME, NEW):
        sheet = draw_half(plan, half)
        if sheet is not None:
            write_image(options.out / f"{half}.png", sheet)
    _figures.print_machine()
    _figures.write(path, content)
    print(f"wrote transfer.md and picture sheets in {options.out}")


def _options(arguments: argparse.Namespace) -> Options:
    given: dict[str, Path | None] = {"randomized": arguments.randomized, "adr": arguments.adr}
    for name, path in given.items():
        if path is None:
            print(f"no row {name}: give a policy bundle by --{name}")
        elif not path.is_file():
            raise UserError(f"--{name} {path}: no such file")
    words = [*([] if arguments.steps is None else [f"steps={arguments.steps}"]), *arguments.words]
    real = arguments.real
    return Options(
        out=(arguments.out or Path("runs/transfer") / arguments.env).resolve(),
        env=arguments.env,
        places=arguments.places,
        frames=arguments.frames,
        test_frames=arguments.test_frames,
        episodes=arguments.episodes,
        seed=arguments.seed,
        driver=arguments.driver,
        policies={name: path for name, path in given.items() if path is not None},
        photos=arguments.photos,
        real=str(Path(real).resolve()) if real and Path(real).exists() else real,
        words=tuple(words),
    )


def _known(option: str, given: str | None, known: list[str]) -> list[str]:
    """The names that a user gave, or all."""
    names = known if given is None else given.split(",")
    for name in names:
        if name not in known:
            raise UsageError(f"--{option} {name}: choose from {', '.join(known)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = _figures.parser("transfer", __doc__)
    add = parser.add_argument
    add("--out", type=Path, help="folder of all pieces; default: runs/transfer/<env>")
    add("--env", choices=list(TASKS), default="ChairNav", help="default: %(default)s")
    add("--rows", help="comma-separated, which rows to make; default: all, see --plan")
    add("--halves", help=f"comma-separated, of {', '.join(HALVES)}; default: all")
    add("--places", type=_numbers, default="0,2,4", help="of the same-place half; default: %(default)s")
    add("--frames", type=int, default=4000, help="of each source; default: %(default)s")
    add("--test-frames", type=int, default=200, help="of each place, to measure on; default: %(default)s")
    add("--episodes", type=int, default=500, help="of a row and half; default: %(default)s")
    add("--steps", type=int, help="of every training; default: that of simgym.goggles.train")
    add("--seed", type=int, default=1, help="of frames and trainings; default: %(default)s")
    add("--driver", default="expert", help="who drives while frames of the stand-in are taken; default: %(default)s")
    add("--randomized", type=Path, help="a policy trained with domain=randomized")
    add("--adr", type=Path, help="a policy trained with domain=adr")
    add("--photos", type=Path, help="folder of photographs, rgb/, with masks, chair_mask/")
    add("--real", help="source of real frames to train on for the photographs; default: frames of many places")
    add("--plan", action="store_true", help="say what there is to do, and do nothing")
    add("--redo", action="store_true", help="make anew what was made with other settings")
    add("words", nargs="*", metavar="[row:]key=value", help="for simgym.goggles.train")
    return parser


if __name__ == "__main__":
    sys.exit(main())
