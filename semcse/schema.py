"""What a run is: one pydantic model a notebook, together one `Study`, read from YAML files by `semcse.params.load`.

Every field says what it does and where in the paper it comes from; "ours" marks what the paper does not state.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from semcse.resources import Resources
from semcse.sections import Section

LocalPath = Annotated[str, "path"]
"""A file or folder; relative ones count from the YAML file that names them, or from the shell on a command line."""
NameOrPath = Annotated[str, "name or path"]
"""A name of params/models.yaml, a hub name, or a folder (then starting with '.', '/' or '~')."""
Name = Annotated[str, Field(pattern=r"^[\w+-][\w.+-]*$")]
"""Letters, digits, '_', '.', '+' and '-', since it becomes part of a path; no '.' first, for '..' leads out of it."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]

PositiveKind = Literal["summary", "title", "sentence", "paper"]
POSITIVES: dict[PositiveKind, float] = {"summary": 0.5, "title": 0.15, "sentence": 0.35}
"""What a positive is, and how often (4.2)."""
TRAINING_SETS = {
    "mesh_descriptors": 50_000,
    "fos": 50_000,
    "search": 50_000,
    "same_author": 50_000,
    "high_influence_cite": 50_000,
    "cite_prediction_new": 100_000,
}
"""SciRepEval sets and counts behind the 350,000 training papers (A.1)."""


def _training(values: dict[str, Any]) -> Training:
    try:
        return Training(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["variants", values["name"], *(str(part) for part in first["loc"])])
        raise ValueError(f"{where}: {first['msg']}, got {first['input']!r}") from error


def _raise_first(needs: list[tuple[bool, str]]) -> None:
    for broken, message in needs:
        if broken:
            raise ValueError(message)


class Sampling(Section):
    """Notebook 01: where papers come from and how they are split."""

    source: Literal["demo", "file", "scirepeval"] = Field("scirepeval", description="where papers come from; A.1")
    path: LocalPath | None = Field(
        None, description="file: JSONL, CSV or Parquet (.gz too); scirepeval: a local copy; ours"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="our column name: the file's, e.g. {abstract: Summary}; ours"
    )
    hub: str = Field("allenai/scirepeval", description="hub name of the SciRepEval data set; A.1")
    test_hub: str = Field("allenai/scirepeval_test", description="hub name of the labels of SciDocs MAG; 5.2")
    revision: str = Field(
        "refs/convert/parquet", description="revision of both hub data sets; pin one for exact repeats; ours"
    )
    sets: dict[str, PositiveInt] = Field(
        default_factory=lambda: dict(TRAINING_SETS),
        description="SciRepEval set: papers drawn for training; A.1",
    )
    training: PositiveInt | None = Field(None, description="training papers; none: all that are left; A.1")
    validation: PositiveInt = Field(900, description="held-out papers for model selection; A.3")
    benchmark: NonNegativeInt = Field(6000, description="papers of the semantic benchmark; 5.2")
    clustering: NonNegativeInt = Field(21252, description="papers of the clustering task, with a field; 5.2")
    clustering_test: Fraction = Field(0.2, description="share of the clustering papers that query; ours for files")
    clustering_sources: list[str] | None = Field(
        None, description="sources the clustering papers may come from; none: all; ours"
    )
    benchmark_sources: list[str] | None = Field(
        None, description="sources the benchmark papers may come from; none: all; ours"
    )
    ready_made: LocalPath | None = Field(
        None, description="JSONL with ready-made summaries: training and validation papers come from it; ours"
    )
    ready_made_benchmark: NonNegativeInt = Field(
        0, description="benchmark papers drawn from `ready_made`, since those have queries; ours"
    )
    invalid: Literal["error", "drop"] = Field(
        "error",
        description="a paper without title or abstract, or a duplicate: stop, or leave out and report; ours",
    )
    min_sentences: PositiveInt = Field(2, description="sentences an abstract must have; halves need two; 5.2")

    @model_validator(mode="after")
    def _sources(self) -> Self:
        if self.source == "file" and not self.path:
            raise ValueError("source is 'file', so path must name a JSONL, CSV or Parquet file")
        if self.ready_made_benchmark and not self.ready_made:
            raise ValueError("ready_made_benchmark needs ready_made, the file that those papers come from")
        return self


class Summaries(Section):
    """Notebook 02: who writes the summaries and the queries."""

    writer: Literal["demo", "file", "extractive", "transformers", "openai"] = Field(
        "transformers", description="who writes the summaries; 4.1"
    )
    path: LocalPath | None = Field(None, description="file: JSONL with ready-made summaries; ours")
    model: NameOrPath = Field("meta-llama/Meta-Llama-3-8B", description="causal language model; 4.1")
    base_url: str | None = Field(None, description="openai: address of a completions server; ours")
    concurrency: PositiveInt = Field(16, description="openai: papers asked for at the same time; ours")
    timeout: PositiveFloat = Field(120.0, description="openai: seconds after which a request is sent again; ours")
    prompts: list[str] = Field(
        default_factory=lambda: ["findings", "concern", "conclusion", "comprehensive", "takeaway"],
        description="keys of semcse.prompts.PROMPTS; A.2",
    )
    draws: PositiveInt = Field(3, description="continuations per prompt; 4.1")
    temperature: PositiveFloat = Field(
        0.6, description="sampling temperature; not stated; the generation settings of Llama-3-8B"
    )
    top_p: Fraction = Field(0.9, description="nucleus sampling; not stated; the generation settings of Llama-3-8B")
    max_new_tokens: PositiveInt = Field(96, description="longest continuation in tokens; not stated; ours")
    batch_tokens: PositiveInt = Field(
        16384, description="tokens that a model in this process holds at once, more where memory allows; ours"
    )
    shard_size: PositiveInt = Field(256, description="papers per Parquet shard; ours")
    hallucinated: Fraction = Field(
        0.0,
        description="share of summaries replaced by another paper's, to study errors; ours, cf. Limitations",
    )
    quality_papers: PositiveInt = Field(60, description="papers drawn for the report on quality; ours")
    quality_model: NameOrPath | None = Field(
        "all-MiniLM-L6-v2", description="encoder for nearness in meaning in that report; none: leave it out; ours"
    )
    query_writer: Literal["none", "demo", "file", "transformers", "openai"] = Field(
        "transformers", description="who writes the benchmark's search queries; 5.2"
    )
    query_path: LocalPath | None = Field(None, description="file: JSONL with a query per paper; ours")
    query_model: NameOrPath = Field(
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        description="instruction-tuned model for queries; 5.2",
    )

    @model_validator(mode="after")
    def _needs(self) -> Self:
        needs = [
            (self.writer == "file" and not self.path, "writer is 'file', so path must name a JSONL file"),
            (self.query_writer == "file" and not self.query_path, "query_writer is 'file': set query_path"),
            (
                "openai" in (self.writer, self.query_writer) and not self.base_url,
                "an openai writer needs base_url, the address of the server",
            ),
            (
                bool(self.base_url and {"@", "?"} & set(self.base_url)),
                "base_url must name no user, password or key, since it is written into the files of the run; "
                "the key is read from the environment variable OPENAI_API_KEY",
            ),
            (not self.prompts, "prompts is empty: name at least one prompt"),
        ]
        _raise_first(needs)
        return self


class Training(Section):
    """Notebook 03: pairs, objective, optimiser, evaluation."""

    name: Name = Field("SemCSE", description="what tables and figures call the trained model; ours")
    base: NameOrPath = Field("KISTI-AI/Scideberta-full", description="encoder to start from; 4.2")
    base_fallback: NameOrPath | None = Field(None, description="taken when the folder `base` is absent; ours")
    pooling: Literal["cls", "mean", "last"] = Field(
        "cls", description="token states to one vector; README of the authors"
    )
    loss: Literal["triplet", "infonce"] = Field("triplet", description="Eq. of section 3, or the cosine variant of A.5")
    margin: PositiveFloat = Field(1.0, description="triplet margin; A.3")
    l2: float = Field(1 / 250, ge=0, description="weight of the L2 term on anchors; A.3")
    l2_squared: bool = Field(True, description="squared norms in the L2 term; not stated; ours")
    metric: Literal["euclidean", "cosine"] = Field("euclidean", description="distance of the triplet loss; section 3")
    temperature: PositiveFloat = Field(0.07, description="of the cosine variant; A.5")
    symmetric: bool = Field(False, description="cosine variant from anchors to positives and back; ours")
    mix: dict[PositiveKind, Fraction] = Field(
        default_factory=lambda: dict(POSITIVES),
        description="what a positive is, and how often; 4.2",
    )
    same_input: bool = Field(False, description="anchor and positive are the same text, as SimCSE; section 7")
    anchors: Literal["summary", "sentence", "both"] = Field(
        "summary", description="sentence: a control without a language model; both: sentences among summaries; ours"
    )
    summaries_per_paper: PositiveInt | None = Field(None, description="use only the first few; none: all; ours")
    papers: PositiveInt | Share | None = Field(
        None, description="training papers used, a number or a share of them; none: all; Table 3"
    )
    projection: PositiveInt | None = Field(None, description="size of a head dropped after training; ours")
    whitening: float = Field(
        0, ge=0, le=1, description="how far variances are evened out after training; 0: none, 1: all equal; ours"
    )
    batch_size: Annotated[int, Field(ge=2)] = Field(32, description="pairs in a batch; A.3")
    gradient_cache: PositiveInt | None = Field(None, description="pairs per chunk of a cached large batch; ours")
    accumulation: PositiveInt = Field(1, description="batches per optimiser step; ours")
    learning_rate: PositiveFloat = Field(1e-5, description="of AdamW; the authors' later released code")
    weight_decay: float = Field(1e-4, ge=0, description="of AdamW; the authors' later released code")
    schedule: Literal["constant", "linear", "cosine"] = Field("constant", description="of the learning rate; ours")
    warmup_steps: NonNegativeInt = Field(0, description="steps of linear warm-up; not stated; ours")
    max_length: PositiveInt = Field(128, description="tokens of a training text; the authors' later released code")
    max_steps: PositiveInt | None = Field(None, description="optimiser steps at most; none: until patience ends; ours")
    evaluate_every: PositiveInt = Field(1000, description="steps between evaluations; A.3")
    patience: PositiveInt = Field(15, description="evaluations without a better score before the end; A.3")
    selection: Literal["sum", "summary", "paper", "last"] = Field(
        "sum",
        description="which matching score of A.3 selects, not stated; ours: the sum; last: none, the final weights",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="inside the encoder; ours")
    compile: bool = Field(False, description="torch.compile the encoder; ours")
    devices: PositiveInt = Field(1, description="GPUs (or processes on a CPU), each with a batch of batch_size; ours")
    checkpoint_every: PositiveInt = Field(1000, description="steps between resumable checkpoints; ours")

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        total = sum(self.mix.values())
        needs = [
            (abs(total - 1) > 1e-6, f"mix must sum to 1, got {total:g}"),
            (
                bool(self.max_steps and self.warmup_steps >= self.max_steps),
                "warmup_steps must be below max_steps",
            ),
            (
                self.schedule != "constant" and self.max_steps is None,
                f"schedule '{self.schedule}' needs max_steps, the step at which it ends",
            ),
            (
                self.selection == "last" and self.max_steps is None,
                "selection 'last' needs max_steps, the step whose weights are taken",
            ),
            (
                self.gradient_cache is not None and self.accumulation > 1,
                "gradient_cache makes one large batch; leave accumulation at 1",
            ),
        ]
        _raise_first(needs)
        return self


class Benchmarks(Section):
    """Notebook 04: which models are measured, and how."""

    models: list[NameOrPath] = Field(
        default_factory=list,
        description="rows beside base and trained: names of params/models.yaml, or folders; 4.3",
    )
    max_length: PositiveInt = Field(512, description="tokens of a text; SciRepEval's limit")
    neighbours: PositiveInt = Field(5, description="nearest training papers in the clustering task; 5.2")
    neighbour_index: Literal["exact", "faiss"] = Field(
        "exact", description="how they are searched; faiss: approximately, with the recall in the record; ours"
    )
    bootstrap: PositiveInt = Field(2000, description="resamples behind an interval; ours")
    batch_tokens: PositiveInt | None = Field(
        None, description="tokens encoded at once, padding included; none: what suits the device; ours"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="inside the encoder; auto: bfloat16 where the hardware is fast in it; ours"
    )
    domains: Literal["source", "field"] = Field("field", description="what a domain is when domains are compared; ours")
    domain_papers: Annotated[int, Field(ge=2)] | None = Field(
        None, description="papers of each domain; none: as many as the smallest domain has; ours"
    )
    transfer: LocalPath | None = Field(
        None, description="JSONL, CSV or Parquet with papers of more domains, like sampling.path; ours"
    )


class SciRepEval(Section):
    """Notebook 05: whose SciRepEval numbers enter the tables, and which models our own evaluator scores."""

    models: list[str] = Field(default_factory=list, description="rows of the paper to show; empty: all; Table 2")
    official: dict[str, LocalPath] = Field(
        default_factory=dict, description="model: result JSON of the original tool to import; ours"
    )
    compare: tuple[str, str] = Field(
        ("SemCSE", "SPECTER2 base"), description="the two models of the per-task difference figure; ours"
    )
    s2and: dict[str, LocalPath] = Field(
        default_factory=dict, description="model: grid of B³ F1 that the S2AND tool printed; ours"
    )
    evaluate: list[NameOrPath] = Field(
        default_factory=list,
        description="models our evaluator scores: trained ones, names of params/models.yaml, folders; ours",
    )
    tasks: list[str] = Field(default_factory=list, description="SciRepEval tasks or types; empty: all 22; section 6")
    mode: Literal["official", "modern"] = Field(
        "official", description="the original's protocol, or ordinary solvers and the model's metric; ours"
    )
    data: LocalPath | None = Field(
        None, description="folder with local copies of both data sets; none: streamed from the hub; ours"
    )
    revisions: dict[str, str] = Field(
        default_factory=dict,
        description="hub data set: commit of its Parquet export; none: the newest, which is recorded; ours",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "float32", description="inside the encoder; auto: bfloat16 where the hardware is fast in it; ours"
    )

    @model_validator(mode="after")
    def _known_tasks(self) -> Self:
        if self.tasks:
            from semcse.scirepeval.tasks import named_tasks

            named_tasks(self.tasks)
        return self


class TSNE(Section):
    """Notebook 06: the map of the clustering set, Figure 1."""

    perplexity: PositiveFloat = Field(30.0, description="effective number of neighbours; not stated; ours")
    metric: Literal["euclidean", "cosine"] = Field("euclidean", description="distance; section 3")
    papers: PositiveInt | None = Field(None, description="papers shown at most; none: all; ours")
    iterations: PositiveInt = Field(500, description="iterations after early exaggeration; openTSNE's default")
    landmarks: PositiveInt | None = Field(
        None, description="papers embedded together, the others placed among them; none: all together; ours"
    )
    neighbour_index: Literal["exact", "faiss"] = Field(
        "exact", description="how the nearest papers of the interactive map are searched; ours"
    )


class PCA(Section):
    """Notebook 07: the spectrum of the clustering set, Figure 2."""

    components: PositiveInt = Field(50, description="principal components shown; B.2")


class Study(BaseModel):
    """Everything a run needs; `semcse.params.load` reads one from YAML; `Study()` alone states the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field("study", description="name of the run; ours")
    folder: Path = Field(Path("runs/study"), description="the run's folder; ours")
    seed: NonNegativeInt = Field(0, description="of everything random; ours")
    sampling: Sampling = Field(default_factory=Sampling)
    summaries: Summaries = Field(default_factory=Summaries)
    training: Training = Field(default_factory=Training)
    variants: dict[Name, dict[str, Any]] = Field(
        default_factory=dict,
        description="more models of this run: name, then its differences from training; ours",
    )
    benchmarks: Benchmarks = Field(default_factory=Benchmarks)
    scirepeval: SciRepEval = Field(default_factory=SciRepEval)
    tsne: TSNE = Field(default_factory=TSNE)
    pca: PCA = Field(default_factory=PCA)
    resources: Resources = Field(default_factory=Resources)

    @model_validator(mode="after")
    def _variants(self) -> Self:
        taken = [self.training.name, *self.variants]
        if len(set(taken)) < len(taken):
            raise ValueError(f"variants must not repeat training.name {self.training.name!r}")
        self.trainings()
        return self

    def trainings(self) -> dict[str, Training]:
        """Every model this run trains by name; the first is the run's own, the others are its variants."""
        own = self.training.model_dump()
        variants = {name: {**own, **change, "name": name} for name, change in self.variants.items()}
        return {self.training.name: self.training} | {name: _training(values) for name, values in variants.items()}

    def variant(self, name: str) -> Study:
        """This study with the training section of `name`; its files go to `variants/<name>` unless it is the own."""
        folder = self.folder if name == self.training.name else self.folder / "variants" / name
        return self.model_copy(update={"training": self.trainings()[name], "folder": folder, "variants": {}})
