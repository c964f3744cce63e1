"""A renderer whose worlds are shared out among processes, because PyBullet keeps the interpreter lock as it draws.

Each process has a `BulletRenderer` for its share of the worlds. They are plain child processes, not multiprocessing's:
those would import the user's script again, which not every script stands.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import weakref
from dataclasses import fields
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from simgym.deploy.camera import Camera
from simgym.errors import UserError

from ..draw import Layout, Look
from ..engines.bullet_base import import_pybullet
from ..scene import Scene
from . import Frames
from .bullet import BulletRenderer

Rows = TypeVar("Rows", Layout, Look)


class WorkerRenderer:
    """`BulletRenderer` in ``processes`` processes; implements `Renderer`. Pictures are the same."""

    def __init__(self, textures: np.ndarray | None, processes: int) -> None:
        """Raises UserError where PyBullet is missing."""
        import_pybullet()
        self._workers = [_Worker(textures) for _ in range(processes)]
        self._release = weakref.finalize(self, _stop, self._workers)

    def load(self, scene: Scene, camera: Camera, num_worlds: int) -> None:
        """See `Renderer.load`."""
        self.num_worlds = num_worlds
        self._shares = np.array_split(np.arange(num_worlds), len(self._workers))
        self._owner = np.concatenate([np.full(len(share), w) for w, share in enumerate(self._shares)])
        self._first = np.array([share[0] for share in self._shares])[self._owner]  # (n,) of the owner's worlds
        for worker, share in zip(self._workers, self._shares, strict=True):
            worker.call("load", scene, camera, len(share))
        n, h, w = num_worlds, camera.height, camera.width
        self._frames = Frames(
            np.zeros((n, h, w, 3), np.uint8), np.zeros((n, h, w), np.float32), np.zeros((n, h, w, 2), np.int16)
        )

    def apply(self, worlds: ArrayLike, layout: Layout, look: Look) -> None:
        """See `Renderer.apply`; what is wrong with a draw shows when the next picture is asked for."""
        worlds = np.asarray(worlds)
        for w, worker in enumerate(self._workers):
            rows = np.flatnonzero(self._owner[worlds] == w)
            if len(rows):
                mine = worlds[rows]
                worker.call("apply", mine - self._first[mine], _rows(layout, rows), _rows(look, rows))

    def render(self, moving_pos: np.ndarray, moving_quat: np.ndarray, worlds: np.ndarray | None = None) -> Frames:
        """See `Renderer.render`."""
        wanted = np.arange(self.num_worlds) if worlds is None else np.asarray(worlds)
        asked = []
        for w, (worker, share) in enumerate(zip(self._workers, self._shares, strict=True)):
            mine = wanted[self._owner[wanted] == w]
            if len(mine):
                worker.call("render", moving_pos[share], moving_quat[share], mine - share[0])
                asked.append((worker, mine, mine - share[0]))
        for worker, mine, local in asked:
            frames = worker.answer()
            for field in fields(Frames):
                getattr(self._frames, field.name)[mine] = getattr(frames, field.name)[local]
        return self._frames

    def snapshot(
        self, world: int, camera: Camera, position: ArrayLike, target: ArrayLike, supersample: int = 3
    ) -> np.ndarray:
        """See `Renderer.snapshot`."""
        world = range(self.num_worlds)[world]
        worker = self._workers[self._owner[world]]
        worker.call("snapshot", int(world - self._first[world]), camera, position, target, supersample)
        return worker.answer()

    def close(self) -> None:
        """See `Renderer.close`."""
        self._release()


class _Worker:
    """The parent's end of one process."""

    def __init__(self, textures: np.ndarray | None) -> None:
        self._pipe, theirs = Pipe()
        self._unread = 0
        code = f"from simgym.envs.renderers.workers import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.DEVNULL,  # PyBullet greets whoever imports it
        )
        theirs.close()
        self._pipe.send(textures)

    def call(self, method: str, *arguments: Any) -> None:
        """Have a method called; `answer` waits for what it gives."""
        try:
            self._pipe.send((method, arguments))
        except OSError as error:
            raise _lost(self._process) from error
        self._unread += 1

    def answer(self) -> Any:
        """What the last call gave. Raises what it or an earlier one raised."""
        result = None
        for _ in range(self._unread):
            try:
                result = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise _lost(self._process) from error
            self._unread -= 1
            if isinstance(result, Exception):
                raise result
        return result

    def stop(self) -> None:
        """End the process: it goes when its pipe closes."""
        self._pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _stop(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def _lost(process: subprocess.Popen) -> UserError:
    process.kill()  # does nothing to one that has ended, whose code stays
    code = process.wait()
    return UserError(
        f"a process of domain.renderer=bullet ended (exit code {code}), as when memory runs out: "
        "use fewer environments, or domain.renderer=raster"
    )


def _rows(draw: Rows, rows: np.ndarray) -> Rows:
    """Some rows of a draw."""
    return type(draw)(**{name: value[rows] for name, value in vars(draw).items()})


def serve(file_descriptor: int) -> None:
    """What a process does: call methods of its renderer until the parent is gone."""
    pipe = Connection(file_descriptor)
    try:
        renderer = BulletRenderer(pipe.recv())
        gc.freeze()  # or Python looks for garbage among all that has been imported, again and again
        while True:
            method, arguments = pipe.recv()
            try:
                result = getattr(renderer, method)(*arguments)
            except (ValueError, UserError) as error:
                result = error
            pipe.send(result)
    except (EOFError, BrokenPipeError, KeyboardInterrupt, pickle.UnpicklingError):
        return  # the parent is gone, or is going
