"""Training an encoder on pairs of a paper's texts (sections 3 and 4.2, appendix A.3)."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from semcse import distributed, models
from semcse.checkpoints import Checkpoints, Log, digest, step_of, training_log
from semcse.dense import whitening_layer
from semcse.encoder import Encoder
from semcse.export import licence_of, model_card
from semcse.losses import InfoNCELoss, Objective, TripletLoss
from semcse.pairs import GROUP_ROWS, PairStream
from semcse.papers import paper_text
from semcse.precision import inner_precision
from semcse.sampler import PairSampler
from semcse.schema import Study, Training
from semcse.trainable import TrainableEncoder
from semcse.trainer import ContrastiveTrainer, NonFiniteLoss, Patience, training_arguments
from semcse.validation import Validation

__all__ = ["NonFiniteLoss", "metric_of", "objective", "select_records", "train", "training_log", "whitening_texts"]

Record = Mapping[str, Any]
EXPORTED_LENGTH = 512  # tokens; SciRepEval's limit, and what the benchmarks use
WHITENING_PAPERS = 5_000
"""Papers whose embeddings tell the variances of the space, several for each of its dimensions."""


def train(study: Study, records: Sequence[Record], validation: Sequence[Record]) -> Path:
    """Train `study.training` on records and return the folder of the best model, `study.folder / "model"`.

    A run that was interrupted continues from its last whole checkpoint and ends in the same bits on a CPU; one that
    has ended returns at once; one whose settings, base or texts have changed starts afresh. Progress goes to
    `training/log.jsonl` (see `training_log`), states to `checkpoints/`. With `training.devices` above 1 it starts that
    many processes; under torchrun every rank calls this with the same arguments. Negatives come from all ranks.

    Args:
        study: names the folder, the seed and the Training section.
        records: mappings with corpus_id, title, abstract, summaries.
        validation: held-out papers of the same form, of which two summaries each are used.

    Raises ValueError for records that cannot be trained on, NonFiniteLoss (a FloatingPointError) naming the papers
    of the batch when the loss is not finite; the last good checkpoint then stays.
    """
    settings = study.training
    if settings.devices > 1 and not distributed.under_torchrun():
        distributed.launch(settings.devices, _as_one_of_several, study, list(records), list(validation))
        return study.folder / "model"
    chosen = select_records(records, settings, study.seed)
    scores = Validation(validation, metric_of(settings), settings.selection)
    _start_processes()
    encoder = _base_encoder(settings)
    checkpoints = Checkpoints(study.folder / "checkpoints")
    identity = _identity(study, encoder, chosen, validation)
    if _is_done(study, checkpoints, identity):
        return study.folder / "model"
    sampler = _sampler(study, chosen, encoder.separator)
    if distributed.rank() == 0:
        checkpoints.claim(identity)
    _barrier()
    trainer = _trainer(study, encoder, sampler, scores, checkpoints)
    _run(trainer, checkpoints)
    if distributed.rank() == 0:
        _export(study, trainer, checkpoints, chosen)
    _barrier()
    return study.folder / "model"


def select_records(records: Sequence[Record], settings: Training, seed: int) -> list[Record]:
    """The papers and summaries that training uses: `papers` of a seeded permutation, the first `summaries_per_paper`.

    `papers` below 1 is a share. Smaller selections are part of larger ones of the same seed. Raises ValueError when
    there are too few papers.
    """
    wanted = settings.papers or len(records)
    count = round(wanted * len(records)) if wanted < 1 else int(wanted)
    if count > len(records):
        raise ValueError(f"training.papers asks for {count} papers, but there are {len(records)}; lower it")
    order = np.random.default_rng(seed).permutation(len(records))[:count] if settings.papers else range(count)
    limit = settings.summaries_per_paper
    return [dict(records[k]) | {"summaries": list(records[k].get("summaries") or [])[:limit]} for k in order]


def whitening_texts(records: Sequence[Record], separator: str) -> list[str]:
    """Title and abstract of the papers that the whitening is fitted on, the first WHITENING_PAPERS."""
    texts = (paper_text(record, separator) for record in records[:WHITENING_PAPERS])
    return [text for text in texts if text]


def objective(settings: Training) -> Objective:
    """The loss that a Training section asks for."""
    if settings.loss == "infonce":
        return InfoNCELoss(settings.temperature, settings.symmetric)
    return TripletLoss(settings.margin, settings.l2, settings.metric, settings.l2_squared)


def metric_of(settings: Training) -> str:
    """The metric of the space that a Training section makes: "euclidean" or "cosine"."""
    return "cosine" if settings.loss == "infonce" else settings.metric


def _base_encoder(settings: Training) -> Encoder:
    base = settings.base if Path(settings.base).is_dir() else models.resolve(settings.base)
    return Encoder.load(base, settings.pooling, EXPORTED_LENGTH, inner_precision(settings.precision), normalize=False)


def _sampler(study: Study, records: Sequence[Record], separator: str) -> PairSampler:
    settings = study.training
    return PairSampler(
        records,
        {str(kind): share for kind, share in settings.mix.items()},
        settings.batch_size,
        study.seed,
        settings.same_input,
        anchors=settings.anchors,
        separator=separator,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
    )


def _trainer(
    study: Study, encoder: Encoder, sampler: PairSampler, scores: Validation, checkpoints: Checkpoints
) -> ContrastiveTrainer:
    settings, last = study.training, checkpoints.last()
    log = Log(study.folder / "training" / "log.jsonl")
    if distributed.rank() == 0:
        log.rewind(step_of(last) if last else None)
    torch.manual_seed(study.seed)
    model = TrainableEncoder(encoder.model, settings.pooling, settings.projection)
    if settings.compile:
        encoder.model.compile(dynamic=True)
    trainer = ContrastiveTrainer(
        model,
        training_arguments(settings, study.seed, study.folder, resumed=last is not None),
        PairStream(sampler, encoder.tokenizer, min(settings.max_length, encoder.max_length), _group_rows(settings)),
        objective(settings),
        scores,
        encoder,
        checkpoints,
        log,
        cached=settings.gradient_cache is not None,
    )
    if settings.selection != "last":
        trainer.add_callback(Patience(settings.patience))
    return trainer


def _group_rows(settings: Training) -> int | None:
    """Texts that are padded together: a chunk of the gradient cache, a few on a CPU, the whole batch on a GPU."""
    if settings.gradient_cache is not None:
        return 2 * settings.gradient_cache
    return None if torch.cuda.is_available() else GROUP_ROWS


def _run(trainer: ContrastiveTrainer, checkpoints: Checkpoints) -> None:
    """Train from the last whole checkpoint, unless that is already the end."""
    last = checkpoints.last()
    if last is not None:
        state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
        if state["stateful_callbacks"]["TrainerControl"]["args"]["should_training_stop"]:
            trainer.state.best_global_step, trainer.state.global_step = state["best_global_step"], state["global_step"]
            return
    trainer.train(resume_from_checkpoint=str(last) if last else None)


def _export(study: Study, trainer: ContrastiveTrainer, checkpoints: Checkpoints, records: Sequence[Record]) -> None:
    """Write the best weights as the model's folder and record the end."""
    settings, encoder, best = study.training, trainer.encoder, int(trainer.state.best_global_step or 0)
    encoder.model.load_state_dict(checkpoints.load_best(best))
    rows = {row["step"]: row for row in trainer.rows.rows() if "score" in row}
    facts = {"steps": trainer.state.global_step, "best_step": best, "base": rows.get(0), "best": rows[best]}
    if settings.whitening:
        space = encoder.encode(whitening_texts(records, encoder.separator), progress=True)
        encoder.dense = whitening_layer(space, settings.whitening).to(encoder.device)
        facts["whitened"] = trainer.validation.scores(encoder)
    facts |= {"papers": len(trainer.stream.sampler.ids), "validation_papers": len(trainer.validation)}
    card = model_card(study, facts, licence_of(str(encoder.model.config.name_or_path)))
    encoder.save(study.folder / "model", similarity=metric_of(settings), card=card)
    checkpoints.finish(facts)


def _identity(study: Study, encoder: Encoder, records: Sequence[Record], validation: Sequence[Record]) -> str:
    """A digest of all that decides the weights."""
    settings = study.training.model_dump(mode="json")
    for name in ("name", "base", "base_fallback", "devices"):
        settings.pop(name, None)
    fields = ("corpus_id", "title", "abstract", "summaries")
    texts = [[record.get(field) for field in fields] for record in (*records, *validation)]
    return digest([settings, study.seed, encoder.fingerprint, distributed.world_size(), len(records), *texts])


def _is_done(study: Study, checkpoints: Checkpoints, identity: str) -> bool:
    whole = (study.folder / "model" / "config.json").exists()
    return whole and checkpoints.belongs_to(identity) and checkpoints.finished() is not None


@record
def _as_one_of_several(study: Study, records: Sequence[Record], validation: Sequence[Record]) -> None:
    """What each process of `distributed.launch` does."""
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // study.training.devices))
    train(study, records, validation)
    dist.destroy_process_group()


def _start_processes() -> None:
    """Join the other ranks when torchrun has started several."""
    if distributed.under_torchrun() and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def _barrier() -> None:
    if distributed.world_size() > 1:
        dist.barrier()
