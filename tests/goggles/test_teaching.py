"""Real frames with pasted things: true labels where something was pasted, the teacher's everywhere else."""

from __future__ import annotations

import torch

from simgym.goggles.methods import Lesson
from simgym.goggles.networks import make_generator
from simgym.goggles.teaching import teach

CLASSES = 4


def drawn(seed: int = 0) -> tuple[torch.Tensor, Lesson]:
    generator = torch.Generator().manual_seed(seed)
    real, images, wanted = (torch.rand(3, 3, 16, 24, generator=generator) for _ in range(3))
    return real, Lesson(images, wanted, torch.randint(CLASSES, (3, 16, 24), generator=generator))


def test_nothing_pasted_is_what_the_teacher_says() -> None:
    torch.manual_seed(0)
    teacher, (real, pairs) = make_generator("mobile", CLASSES).eval(), drawn()
    lesson = teach(teacher, real, pairs, torch.zeros(3, CLASSES, dtype=torch.bool), 0.0)
    with torch.no_grad():
        wanted, scores = teacher.with_scores(real)
    assert torch.equal(lesson.images, real) and torch.equal(lesson.wanted, wanted)
    assert torch.equal(lesson.labels, scores.argmax(1))
    assert lesson.trust is not None and bool((lesson.trust == 1).all())


def test_everything_pasted_is_the_pair() -> None:
    teacher, (real, pairs) = make_generator("mobile", CLASSES).eval(), drawn()
    lesson = teach(teacher, real, pairs, torch.ones(3, CLASSES, dtype=torch.bool), 1.0)
    assert torch.equal(lesson.images, pairs.images) and torch.equal(lesson.wanted, pairs.wanted)
    assert torch.equal(lesson.labels, pairs.labels)
    assert lesson.trust is not None and bool((lesson.trust == 1).all()), "what is pasted is true"


def test_one_class_is_pasted_where_it_is_and_only_sure_labels_count_elsewhere() -> None:
    teacher, (real, pairs) = make_generator("mobile", CLASSES).eval(), drawn()
    pasted = torch.zeros(3, CLASSES, dtype=torch.bool)
    pasted[1, 2] = True
    lesson = teach(teacher, real, pairs, pasted, 1.0)
    here = torch.zeros(3, 16, 24, dtype=torch.bool)
    here[1] = pairs.labels[1] == 2
    assert torch.equal((lesson.images == pairs.images).all(1), here)
    assert bool((lesson.labels[here] == 2).all())
    assert lesson.trust is not None and torch.equal(lesson.trust > 0, here)
