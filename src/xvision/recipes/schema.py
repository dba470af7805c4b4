"""Recipe: everything that decides a run, in one frozen object that is also a YAML file.

A recipe composes the sections that live with their owners: `data`, `net`, `task`, `train`, `quant`, `export`. It is
complete: every default is written out, so equal YAML means equal run, and `Recipe.id` is the hash of that YAML.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xvision.config.messages import explain
from xvision.config.parts import Parts, parts_of
from xvision.data.settings import Data
from xvision.export.settings import Export
from xvision.models.settings import Net
from xvision.quant.settings import Quant
from xvision.tasks import task
from xvision.train.settings import FREE, Train


class Recipe(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    data: Data
    net: Net
    task: Annotated[Parts, parts_of(task)]
    train: Train = Train()
    quant: Quant = Quant()
    export: Export = Export()
    seed: Annotated[int, Field(ge=0)] = 0
    expect: dict[str, float] = {}
    """What a record of this recipe reached, by metric: shown beside the result."""
    source: str = ""
    """Paper or place that the recipe follows."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Recipe.model_validate` reads back to an equal recipe."""
        plain: dict[str, Any] = json.loads(self.model_dump_json())
        return plain

    def deciding(self) -> dict[str, Any]:
        """`to_dict` without the settings that a run may change and still continue.

        Where a data set lies is one: what it holds decides, and its digest says that.
        """
        sets = (
            part.with_settings(root="") if part.name in self.places else part for part in self.data.dataset
        )
        nowhere = Parts(self.data.dataset.registry, tuple(sets))
        data = self.data.model_copy(update={"dataset": nowhere})
        plain = self.model_copy(update={"data": data}).to_dict()
        return plain | {"train": {key: value for key, value in plain["train"].items() if key not in FREE}}

    @property
    def places(self) -> dict[str, str]:
        """Where each data set lies, of those that lie somewhere."""
        return {part.name: part.settings["root"] for part in self.data.dataset if "root" in part.settings}

    def to_yaml(self) -> str:
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False, width=110)
        return text

    @property
    def id(self) -> str:
        """Twelve hex digits that name what the recipe does (not what was expected of it)."""
        return digest({k: v for k, v in self.to_dict().items() if k not in ("expect", "source")})


def digest(plain: Any) -> str:
    """Twelve hex digits of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file; ValueError names the file and every wrong key."""
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as e:
        line = f"line {e.problem_mark.line + 1}: " if e.problem_mark else ""
        raise ValueError(
            f"{path}: cannot be read as YAML ({line}{e.problem or e.context}); fix that line"
        ) from e
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(
            f"{path}: cannot be read as YAML ({' '.join(str(e).split())}); write it again"
        ) from e
    try:
        return Recipe.model_validate(plain)
    except ValidationError as e:
        raise ValueError(f"{path}: not a recipe: {'; '.join(explain(e))}") from e


def flatten(plain: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys.

    >>> flatten({"train": {"epochs": 1}, "seed": 0})
    {'train.epochs': 1, 'seed': 0}
    """
    if not isinstance(plain, Mapping) or not plain:
        return {prefix: plain}
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differing_keys(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values (what decides the run; not `expect` and `source`)."""
    x, y = (flatten({k: v for k, v in r.deciding().items() if k not in ("expect", "source")}) for r in (a, b))
    return {k: (x.get(k), y.get(k)) for k in [*x, *(k for k in y if k not in x)] if x.get(k) != y.get(k)}
