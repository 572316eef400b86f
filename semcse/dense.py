"""A linear layer behind the pooling: the Dense module of sentence-transformers without an activation.

It holds the partial whitening of a trained space, so that every client of the folder applies it.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from semcse.files import write_atomic
from semcse.geometry import partial_whitening

LINEAR = "torch.nn.modules.linear.Identity"
"""The activation of a layer that has none."""
_WEIGHTS = "model.safetensors"


def whitening_layer(embeddings: NDArray[np.float32], power: float) -> nn.Linear:
    """`geometry.partial_whitening` of `embeddings` (N, D) as a layer from D to D with a bias."""
    fitted = partial_whitening(embeddings, power)
    weight, bias = fitted.matrix.T, -fitted.mean @ fitted.matrix
    return _layer({"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()})


def write_dense(folder: Path, layer: nn.Linear) -> None:
    """Write a layer as a module's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "in_features": layer.in_features,
        "out_features": layer.out_features,
        "bias": layer.bias is not None,
        "activation_function": LINEAR,
    }
    write_atomic(folder / "config.json", json.dumps(config, indent=2) + "\n")
    save_file({f"linear.{name}": value.contiguous() for name, value in layer.state_dict().items()}, folder / _WEIGHTS)


def read_dense(folder: Path) -> nn.Linear:
    """The layer in a module's folder. Raises ValueError for one that is more than a linear layer, or damaged."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    activation = config.get("activation_function")
    if activation != LINEAR or config.get("use_residual") or not (folder / _WEIGHTS).is_file():
        raise ValueError(
            f"{folder} is not a linear layer in {_WEIGHTS} (activation {activation}); give the model an entry with "
            "`kind: sentence-transformers` in params/models.yaml"
        )
    try:
        stored = load_file(folder / _WEIGHTS)
        return _layer({name.removeprefix("linear."): value.float() for name, value in stored.items()})
    except (SafetensorError, KeyError, RuntimeError) as error:
        remedy = "train the model again, or fetch it anew"
        raise ValueError(f"{folder / _WEIGHTS} holds no linear layer, or is damaged ({error}); {remedy}") from error


def _layer(state: dict[str, Tensor]) -> nn.Linear:
    rows, columns = state["weight"].shape
    layer = nn.Linear(columns, rows, bias="bias" in state, device="meta")
    layer.load_state_dict(state, assign=True)
    return layer.requires_grad_(False)
