"""In-batch contrastive objectives on pairs of embeddings (sections 3.2 and A.5).

Both take anchors (B, D) and positives (B, D); row i of one belongs to row i of the other, and every other positive of
the batch is a negative. Under an initialised process group the positives of all ranks are negatives, and every rank
returns the loss of the whole batch.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from semcse import distributed

Objective = Callable[[Tensor, Tensor], Tensor]
METRICS = ("euclidean", "cosine")
_SHORTEST = 1e-8  # a shorter vector has no direction to speak of


class TripletLoss:
    """Triplet margin loss over all in-batch negatives, with an L2 pull on the anchors (section 3.2).

    For each pair i the mean over j != i of relu(d(a_i, p_i) - d(a_i, p_j) + margin), then the mean over i, plus `l2`
    times the mean squared norm of the anchors (`squared=False`: mean norm; the paper does not say which).

    Args:
        margin: by how much a negative must be farther away than the positive; in the unit of the distance.
        l2: weight of the pull on the anchors; 0 switches it off.
        metric: "euclidean", or "cosine" for the distance 1 - cos.
    """

    def __init__(
        self, margin: float = 1.0, l2: float = 1 / 250, metric: str = "euclidean", squared: bool = True
    ) -> None:
        if not (math.isfinite(margin) and margin >= 0):
            raise ValueError(f"margin must be a finite number of at least 0, got {margin!r}")
        if not (math.isfinite(l2) and l2 >= 0):
            raise ValueError(f"l2 must be a finite number of at least 0, got {l2!r}; 0 switches the term off")
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
        self.margin = margin
        self.l2 = l2
        self.metric = metric
        self.squared = squared

    def __call__(self, anchors: Tensor, positives: Tensor) -> Tensor:
        """The scalar loss of anchors (B, D) and positives (B, D), in the dtype of the anchors or float32."""
        _check_pair(anchors, positives)
        with torch.autocast(anchors.device.type, enabled=False):
            anchors, positives = widen(anchors), widen(positives)
            counts = distributed.row_counts(len(anchors), anchors.device)
            candidates = distributed.gather_rows(positives, counts)
            hinges = self._hinges(anchors, positives, candidates, own_columns(counts, anchors.device))
            weight = len(counts) / sum(counts)
            loss = hinges.sum() * weight / (sum(counts) - 1)
            if self.l2:
                loss = loss + self.l2 * weight * self._pull(anchors).sum()
            return distributed.mean_over_ranks(loss)

    def _hinges(self, anchors: Tensor, positives: Tensor, candidates: Tensor, own: Tensor) -> Tensor:
        if self.metric == "euclidean":
            near = _safe_sqrt((anchors - positives).square().sum(-1))
            far = euclidean_distances(anchors, candidates)
        else:
            near = 1 - (_unit(anchors) * _unit(positives)).sum(-1)
            far = 1 - _unit(anchors) @ _unit(candidates).T
        hinges = torch.relu(near[:, None] - far + self.margin)
        return hinges.scatter(1, own[:, None], 0.0)

    def _pull(self, anchors: Tensor) -> Tensor:
        squares = anchors.square().sum(-1)
        return squares if self.squared else _safe_sqrt(squares)

    def __repr__(self) -> str:
        return f"TripletLoss(margin={self.margin}, l2={self.l2}, metric={self.metric!r}, squared={self.squared})"


class InfoNCELoss:
    """Softmax cross entropy of each anchor over the batch's positives by cosine similarity (A.5).

    Args:
        temperature: divides the similarities before the softmax.
        symmetric: the mean of that and of each positive's cross entropy over the batch's anchors.
    """

    def __init__(self, temperature: float = 0.07, symmetric: bool = False) -> None:
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"temperature must be a finite number above 0, got {temperature!r}")
        self.temperature = temperature
        self.symmetric = symmetric

    def __call__(self, anchors: Tensor, positives: Tensor) -> Tensor:
        """The scalar loss of anchors (B, D) and positives (B, D), in the dtype of the anchors or float32."""
        _check_pair(anchors, positives)
        with torch.autocast(anchors.device.type, enabled=False):
            anchors, positives = _unit(widen(anchors)), _unit(widen(positives))
            counts = distributed.row_counts(len(anchors), anchors.device)
            total = self._cross_entropy(anchors, positives, counts)
            if self.symmetric:
                total = (total + self._cross_entropy(positives, anchors, counts)) / 2
            return distributed.mean_over_ranks(total * len(counts) / sum(counts))

    def _cross_entropy(self, queries: Tensor, candidates: Tensor, counts: list[int]) -> Tensor:
        """Summed over these queries, among the candidates of all ranks."""
        similarities = queries @ distributed.gather_rows(candidates, counts).T / self.temperature
        return functional.cross_entropy(similarities, own_columns(counts, queries.device), reduction="sum")

    def __repr__(self) -> str:
        return f"InfoNCELoss(temperature={self.temperature}, symmetric={self.symmetric})"


def own_columns(counts: list[int], device: torch.device) -> Tensor:
    """For each local row the column of its own positive among the rows of all ranks."""
    start = sum(counts[: distributed.rank()])
    return torch.arange(start, start + counts[distributed.rank()], device=device)


def euclidean_distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances (N, M) of rows of a (N, D) to rows of b (M, D) by one matrix product, differentiable at zero.

    Shifting both by the same vector leaves distances as they are and keeps the squares small, hence exact.
    What is below the rounding error of the product counts as zero, with a zero gradient.
    """
    centre = b.detach().mean(0)
    a, b = a - centre, b - centre
    sizes = a.square().sum(-1)[:, None] + b.square().sum(-1)[None]
    squares = sizes - 2 * (a @ b.T)
    noise = 8 * torch.finfo(a.dtype).eps * sizes.detach()
    return _safe_sqrt(torch.where(squares > noise, squares, 0.0))


def _safe_sqrt(squares: Tensor) -> Tensor:
    """Square root with a zero gradient at zero, where the true one is infinite."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def _unit(vectors: Tensor) -> Tensor:
    lengths = _safe_sqrt(vectors.square().sum(-1, keepdim=True))
    return vectors / lengths.clamp_min(_SHORTEST)


def widen(vectors: Tensor) -> Tensor:
    """The same in float32, or as it is in float64."""
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def _check_pair(anchors: Tensor, positives: Tensor) -> None:
    if anchors.ndim != 2 or anchors.shape != positives.shape:
        shapes = f"{tuple(anchors.shape)} and {tuple(positives.shape)}"
        raise ValueError(f"anchors and positives must both be (B, D), got {shapes}")
    if len(anchors) * distributed.world_size() < 2:
        raise ValueError(f"a batch needs at least 2 pairs to have negatives, got {len(anchors)}; use larger batches")
