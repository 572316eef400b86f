"""What the stages of a study ask of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from semcse.sections import Section


class Job(BaseModel):
    """What one stage asks of a cluster; a single machine gives it what it has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cores: PositiveInt = Field(8, description="processor cores; ours")
    gpus: NonNegativeInt = Field(0, description="GPUs; training asks for training.devices if that is more; ours")
    memory: PositiveFloat = Field(32, description="main memory, GiB; ours")
    hours: PositiveFloat = Field(4, description="after which the cluster ends it; the next run continues it; ours")


class Resources(Section):
    """What every stage asks of a cluster (`semcse run --profile slurm`); a stage's values that are not given stay."""

    sampling: Job = Field(Job(cores=4), description="notebook 01, bound by the network; ours")
    summaries: Job = Field(Job(gpus=1, memory=64, hours=48), description="notebook 02; the paper's model is 8B; ours")
    training: Job = Field(Job(gpus=1, hours=24), description="notebook 03, each model; ours")
    benchmarks: Job = Field(Job(gpus=1, hours=8), description="notebook 04; ours")
    scores: Job = Field(Job(gpus=1, memory=64, hours=24), description="SciRepEval by our evaluator; ours")
    scirepeval: Job = Field(Job(cores=2, memory=8, hours=1), description="notebook 05; ours")
    tsne: Job = Field(Job(hours=2), description="notebook 06; ours")
    pca: Job = Field(Job(memory=16, hours=1), description="notebook 07; ours")
    ablations: Job = Field(Job(cores=2, memory=8, hours=1), description="notebook 08, of a sweep; ours")

    @model_validator(mode="before")
    @classmethod
    def _differences(cls, given: Any) -> Any:
        """Values that are not given keep the stage's own defaults."""
        if not isinstance(given, Mapping):
            return given
        usual = {name: field.default.model_dump() for name, field in cls.model_fields.items()}
        return {
            name: {**usual[name], **job} if name in usual and isinstance(job, Mapping) else job
            for name, job in given.items()
        }
