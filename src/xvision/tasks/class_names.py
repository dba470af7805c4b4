"""The classes a task learns: those of its data set, and room for more."""

from __future__ import annotations

from collections.abc import Mapping


def class_names(
    classes: Mapping[str, tuple[str, ...]], field: str, task: str, num_classes: int = 0
) -> tuple[str, ...]:
    """Names of the ids of `field`, at least two, filled up to `num_classes` (0: those of the data set).

    Raises: ValueError if the data set has more than `num_classes`, or there are fewer than two.

    >>> class_names({"class": ("cat", "dog")}, "class", "classification", 3)
    ('cat', 'dog', 'class 2')
    """
    names = classes.get(field, ())
    if not names and not num_classes:
        raise ValueError(
            f"{task}: expected data with classes of '{field}', this has none; choose another data set or task"
        )
    if num_classes and len(names) > num_classes:
        raise ValueError(
            f"task.num_classes: expected at least the {len(names)} classes of the data set, got {num_classes}; "
            "leave it out to use them all"
        )
    names += tuple(f"class {i}" for i in range(len(names), num_classes))
    if len(names) < 2:
        raise ValueError(
            f"task.num_classes: {task} expected at least two classes, got {list(names)}; set it, or choose other data"
        )
    return names
