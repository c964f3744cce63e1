"""Real frames with pasted things: true labels where something was pasted, the teacher's everywhere else."""

from __future__ import annotations

import torch

from simgym.goggles.methods import Lesson
from simgym.goggles.networks import Painter, make_painter
from simgym.goggles.teaching import teach

CLASSES = 4


WEIGHTS = torch.tensor([1.0, 1.0, 3.0, 1.0])


def drawn(seed: int = 0) -> tuple[Painter, torch.Tensor, Lesson]:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    real, images = (torch.rand(3, 3, 16, 24, generator=generator) for _ in range(2))
    labels = torch.randint(CLASSES, (3, 16, 24), generator=generator)
    return make_painter("mobile", WEIGHTS, torch.rand(CLASSES, 3)).eval(), real, Lesson(images, labels, WEIGHTS[labels])


def test_nothing_pasted_is_what_the_teacher_says_without_its_bias() -> None:
    teacher, real, pairs = drawn()
    lesson = teach(teacher, real, pairs, torch.zeros(3, CLASSES, dtype=torch.bool), 0.0)
    with torch.no_grad():
        probability = teacher.with_scores(real)[1].softmax(1)
    assert torch.equal(lesson.images, real)
    assert torch.equal(lesson.labels, (probability / WEIGHTS[:, None, None]).argmax(1))
    assert bool((lesson.weights == 1).all())


def test_everything_pasted_is_the_pair() -> None:
    teacher, real, pairs = drawn()
    lesson = teach(teacher, real, pairs, torch.ones(3, CLASSES, dtype=torch.bool), 1.0)
    assert torch.equal(lesson.images, pairs.images) and torch.equal(lesson.labels, pairs.labels)
    assert torch.equal(lesson.weights, pairs.weights), "what is pasted is true"


def test_one_class_is_pasted_where_it_is_and_only_sure_labels_count_elsewhere() -> None:
    teacher, real, pairs = drawn()
    pasted = torch.zeros(3, CLASSES, dtype=torch.bool)
    pasted[1, 2] = True
    lesson = teach(teacher, real, pairs, pasted, 1.0)
    here = torch.zeros(3, 16, 24, dtype=torch.bool)
    here[1] = pairs.labels[1] == 2
    assert torch.equal((lesson.images == pairs.images).all(1), here)
    assert bool((lesson.labels[here] == 2).all())
    assert torch.equal(lesson.weights, 3.0 * here)
