"""transformers' Trainer with our batches, objective, scores, log and checkpoints."""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from semcse import distributed
from semcse.checkpoints import Checkpoints, Log, step_of
from semcse.display import bar_options
from semcse.encoder import Encoder
from semcse.gradcache import cached_backward
from semcse.losses import Objective
from semcse.pairs import Batch, PairStream
from semcse.precision import inner_precision
from semcse.trainable import TrainableEncoder
from semcse.validation import SCORES, Validation


class NonFiniteLoss(FloatingPointError):
    """The loss or the weights became NaN or infinite."""


class ContrastiveTrainer(Trainer):
    """Trains a TrainableEncoder on a PairStream; scores, best weights, log and checkpoints are kept as they come.

    Args:
        model: what is trained.
        args: of transformers; logging at every step.
        stream: batches, to be continued at any batch number.
        pair_loss: the loss of (anchors, positives).
        validation, encoder: the scores, and the model as an encoder that shares the trained weights.
        checkpoints, log: where things go.
        cached: back-propagate one group of texts after the other (gradient caching).
    """

    def __init__(
        self,
        model: TrainableEncoder,
        args: TrainingArguments,
        stream: PairStream,
        pair_loss: Objective,
        validation: Validation,
        encoder: Encoder,
        checkpoints: Checkpoints,
        log: Log,
        cached: bool,
    ) -> None:
        super().__init__(model=model, args=args, eval_dataset=validation, callbacks=[Progress()])
        self.pop_callback(PrinterCallback)
        self.pop_callback(ProgressCallback)
        self.stream = stream
        self.pair_loss = pair_loss
        self.validation = validation
        self.encoder = encoder
        self.checkpoints = checkpoints
        self.rows = log
        self.cached = cached
        self._pairs = self._tokens = 0
        self._mark = time.perf_counter()

    def get_train_dataloader(self) -> DataLoader[Batch]:
        """The stream from the batch after the last one trained on; it shares itself out among ranks."""
        self.stream.start = self._steps_done() * self.args.gradient_accumulation_steps
        own = torch.Generator()  # or a new iterator would draw from the state that a checkpoint has restored
        return DataLoader(self.stream, batch_size=None, generator=own)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """The objective on one batch."""
        loss = self.pair_loss(*model(inputs["groups"], inputs["order"]).chunk(2))
        return self._checked(loss, inputs)

    def training_step(self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward on one batch."""
        self._pairs += len(inputs["order"]) // 2
        self._tokens += inputs["tokens"]
        if not self.cached:
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        model.train()
        inputs = self._prepare_inputs(inputs)
        backward = self.accelerator.backward
        loss = cached_backward(model, inputs["groups"], inputs["order"], self.pair_loss, backward)
        return self._checked(loss, inputs)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The matching scores, computed by the first rank and told to all."""
        box: list[dict[str, float]] = [{}]
        if self.is_world_process_zero():
            box = [self.validation.scores(self.encoder)]
            self.rows.append({"step": self.state.global_step, **box[0]})
        if distributed.world_size() > 1:
            dist.broadcast_object_list(box)
        metrics = {f"eval_{name}": box[0][name] for name in SCORES}
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._mark = time.perf_counter()
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One line of the log for each step, with the speed since the line before."""
        if "loss" not in logs:
            return  # transformers' closing summary
        seconds = time.perf_counter() - self._mark
        ranks = distributed.world_size()
        row = {
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "pairs_per_second": self._pairs * ranks / seconds,
            "tokens_per_second": self._tokens * ranks / seconds,
        }
        if self.is_world_process_zero():
            self.rows.append({"step": self.state.global_step, **row})
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, row)
        self._pairs = self._tokens = 0
        self._mark = time.perf_counter()

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if self.validation.selection == "last":
            self.state.best_metric = None  # then any score is the best so far
        better = bool(super()._determine_best_metric(metrics, trial))
        if better and self.is_world_process_zero():
            self.checkpoints.save_best(self.state.global_step, self.encoder.model.state_dict())
        return better

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        self._check_weights()
        super()._save_checkpoint(model, trial)
        if distributed.world_size() > 1:
            dist.barrier()
        if self.is_world_process_zero():
            self.checkpoints.mark_whole(self.state.global_step)
            self.checkpoints.forget_all_but_best(self.state.best_global_step)
        self._mark = time.perf_counter()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        super()._save(output_dir, state_dict)
        pickled = Path(output_dir or str(self.args.output_dir)) / "training_args.bin"
        pickled.unlink(missing_ok=True)  # the parameters of a run are in its params.yaml

    def _steps_done(self) -> int:
        checkpoint = self.checkpoints.last()
        return step_of(checkpoint) if checkpoint else 0

    def _checked(self, loss: Tensor, inputs: Batch) -> Tensor:
        if not math.isfinite(float(loss.detach())):
            raise NonFiniteLoss(
                f"the loss is {float(loss.detach())} at step {self.state.global_step + 1}, in the batch of the papers "
                f"{', '.join(map(repr, inputs['corpus_ids']))}; {self._advice()}"
            )
        return loss

    def _check_weights(self) -> None:
        for name, parameter in self.encoder.model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise NonFiniteLoss(
                    f"weights of {name} are not finite at step {self.state.global_step}; {self._advice()}"
                )

    def _advice(self) -> str:
        last = self.checkpoints.last()
        kept = f"the last good checkpoint is {last}" if last else "no checkpoint had been written yet"
        return f"{kept}. Look at these papers' texts; lower training.learning_rate or use training.precision=float32"


class Patience(EarlyStoppingCallback):
    """Ends training after so many evaluations without a better score; its count is part of a checkpoint."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The parent's check is for a setting that is not used here."""


class Progress(TrainerCallback):
    """A bar with loss, scores and speed where somebody watches, silent on other ranks than the first."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar at the step that training starts from."""
        total = state.max_steps if state.max_steps < ENDLESS else None
        self.bar = tqdm(
            total=total,
            initial=state.global_step,
            desc="training",
            unit="step",
            **bar_options(state.is_world_process_zero),
        )
        self.shown: dict[str, str] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One step further."""
        self.bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Show the newest numbers."""
        names = {
            "loss": "loss",
            "eval_summary_rank": "summary",
            "eval_paper_rank": "paper",
            "pairs_per_second": "pairs/s",
            "tokens_per_second": "tok/s",
        }
        for key, name in names.items():
            if logs and key in logs:
                self.shown[name] = f"{logs[key]:.4g}"
        self.bar.set_postfix(self.shown, refresh=False)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Close the bar."""
        self.bar.close()


ENDLESS = 10**9  # steps, where only patience ends the training


def training_arguments(settings: Any, seed: int, folder: Path, resumed: bool) -> TrainingArguments:
    """`settings`, a Training section, in the words of transformers."""
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / "training" / "tensorboard")
    schedule = settings.schedule
    if schedule == "constant" and settings.warmup_steps:
        schedule = "constant_with_warmup"
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        max_steps=settings.max_steps or ENDLESS,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type=schedule,
        warmup_steps=settings.warmup_steps,
        max_grad_norm=0.0,
        optim="adamw_torch_fused",
        seed=seed,
        bf16=inner_precision(settings.precision) == "bfloat16",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=settings.evaluate_every,
        eval_on_start=not resumed,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        metric_for_best_model="score",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        ignore_data_skip=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=["tensorboard"],
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several devices are torchrun's business
    return arguments
