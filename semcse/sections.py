"""A section of a study: the parameters of one notebook, or of one concern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Parameters that belong together; a key that is not among them is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Self:
        """The section whose fields are looked up in `names`, usually a notebook's `globals()`."""
        return cls(**{name: names[name] for name in cls.model_fields if name in names})
