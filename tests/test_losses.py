"""The objectives against loops that follow the formulas word by word."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from semcse.losses import InfoNCELoss, TripletLoss, euclidean_distances

Loss = Callable[[Tensor, Tensor], Tensor]


def distance(a: Tensor, b: Tensor, metric: str) -> Tensor:
    """The distance of two vectors; at zero a constant, so that its gradient is zero."""
    if metric == "cosine":
        return 1 - a @ b / (a.norm() * b.norm())
    return (a - b).norm() if bool((a != b).any()) else torch.zeros((), dtype=a.dtype)


def triplet_twin(anchors: Tensor, positives: Tensor, metric: str = "euclidean", own: bool = False) -> Tensor:
    """Section 5 of the design, one pair at a time; `own` wrongly counts j = i."""
    pairs = []
    for i, anchor in enumerate(anchors):
        near = distance(anchor, positives[i], metric)
        hinges = [
            torch.relu(near - distance(anchor, positive, metric) + 1.0)
            for j, positive in enumerate(positives)
            if own or j != i
        ]
        pairs.append(torch.stack(hinges).mean())
    pull = torch.stack([anchor @ anchor for anchor in anchors]).mean()
    return torch.stack(pairs).mean() + pull / 250


def infonce_twin(anchors: Tensor, positives: Tensor) -> Tensor:
    """The softmax written out."""
    terms = []
    for i, anchor in enumerate(anchors):
        scores = [anchor @ p / (anchor.norm() * p.norm()) / 0.07 for p in positives]
        terms.append(torch.logsumexp(torch.stack(scores), 0) - scores[i])
    return torch.stack(terms).mean()


def pair(batch: int, width: int = 5, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two leaves (B, D) whose rows are near each other."""
    generator = torch.Generator().manual_seed(batch)
    anchors = spread * torch.randn(batch, width, dtype=torch.float64, generator=generator)
    positives = anchors + 0.3 * spread * torch.randn(batch, width, dtype=torch.float64, generator=generator)
    return anchors.requires_grad_(), positives.requires_grad_()


def value_and_gradients(loss: Loss, anchors: Tensor, positives: Tensor) -> list[Tensor]:
    """Loss and gradients of both sides."""
    value = loss(anchors, positives)
    return [value.detach(), *torch.autograd.grad(value, (anchors, positives))]


def differences(one: Loss, other: Loss, anchors: Tensor, positives: Tensor) -> list[float]:
    """Largest absolute difference in value and in each gradient."""
    pairs = zip(
        value_and_gradients(one, anchors, positives),
        value_and_gradients(other, anchors, positives),
        strict=True,
    )
    return [float((a - b).abs().max()) for a, b in pairs]


def symmetric_twin(anchors: Tensor, positives: Tensor) -> Tensor:
    """Both directions written out."""
    return (infonce_twin(anchors, positives) + infonce_twin(positives, anchors)) / 2


LOSSES = [
    (TripletLoss(), triplet_twin),
    (TripletLoss(metric="cosine"), lambda a, p: triplet_twin(a, p, "cosine")),
    (InfoNCELoss(), infonce_twin),
    (InfoNCELoss(symmetric=True), symmetric_twin),
]


@pytest.mark.parametrize("batch", [2, 3, 33])
@pytest.mark.parametrize(("loss", "twin"), LOSSES, ids=["euclidean", "cosine", "infonce", "symmetric"])
@pytest.mark.parametrize("spread", [0.2, 1.0, 30.0])
def test_value_and_gradients_equal_the_loop(loss: Loss, twin: Loss, batch: int, spread: float) -> None:
    assert max(differences(loss, twin, *pair(batch, spread=spread))) < 1e-6


def test_the_comparison_can_fail() -> None:
    with_own = lambda a, p: triplet_twin(a, p, own=True)  # noqa: E731
    assert max(differences(TripletLoss(), with_own, *pair(33))) > 1e-3
    assert max(differences(TripletLoss(margin=1.01), triplet_twin, *pair(33))) > 1e-3
    assert max(differences(InfoNCELoss(0.08), infonce_twin, *pair(33))) > 1e-3
    assert max(differences(InfoNCELoss(), symmetric_twin, *pair(33))) > 1e-3


@pytest.mark.parametrize("batch", [2, 33])
def test_coincident_points(batch: int) -> None:
    anchors, positives = pair(batch)
    with torch.no_grad():
        positives[0] = anchors[0]  # a pair without any distance
        positives[1] = anchors[0]  # a negative on top of an anchor
    assert max(differences(TripletLoss(), triplet_twin, anchors, positives)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", [TripletLoss(squared=False), TripletLoss(metric="cosine"), InfoNCELoss()])
def test_gradient_is_finite_for_a_collapsed_batch(loss: Loss, dtype: torch.dtype) -> None:
    for row in (torch.ones(4), torch.zeros(4)):
        anchors = row.repeat(6, 1).to(dtype).requires_grad_()
        positives = row.repeat(6, 1).to(dtype).requires_grad_()
        for tensor in value_and_gradients(loss, anchors, positives):
            assert torch.isfinite(tensor).all()


def test_hand_computed_triplet() -> None:
    anchors = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    positives = torch.tensor([[0.0, 0.5], [3.0, 0.0]])
    # distances: 0.5 and 3 for the first anchor, 4 and sqrt(9 + 3.5^2) for the second
    hinges = [0.0, 4 - math.sqrt(9 + 3.5**2) + 1]
    expected = sum(hinges) / 2 + (0 + 25) / 2 / 250
    assert float(TripletLoss()(anchors, positives)) == pytest.approx(expected, abs=1e-6)
    unsquared = sum(hinges) / 2 + (0 + 5) / 2 / 250
    assert float(TripletLoss(squared=False)(anchors, positives)) == pytest.approx(unsquared, abs=1e-6)


def test_hand_computed_infonce() -> None:
    anchors = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    expected = -math.log(math.exp(2) / (math.exp(2) + 1))
    assert float(InfoNCELoss(0.5)(anchors, anchors * 7)) == pytest.approx(expected, abs=1e-6)


def test_precision_in_is_precision_out() -> None:
    anchors, positives = (side.detach() for side in pair(4))
    for loss in (TripletLoss(), InfoNCELoss()):
        assert loss(anchors, positives).dtype == torch.float64
        assert loss(anchors.bfloat16(), positives.bfloat16()).dtype == torch.float32


def test_distances_survive_a_large_offset() -> None:
    points = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)) + 300
    exact = torch.cdist(points.double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert float((euclidean_distances(points, points) - exact).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TripletLoss(margin=-1), "margin"),
        (lambda: TripletLoss(margin=math.nan), "margin"),
        (lambda: TripletLoss(l2=-1), "l2"),
        (lambda: TripletLoss(metric="manhattan"), "euclidean, cosine"),
        (lambda: InfoNCELoss(0), "temperature"),
        (lambda: InfoNCELoss()(torch.ones(1, 3), torch.ones(1, 3)), "at least 2 pairs"),
        (lambda: TripletLoss()(torch.ones(2, 3), torch.ones(3, 3)), r"\(2, 3\) and \(3, 3\)"),
    ],
)
def test_bad_arguments_are_named(build: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def network() -> nn.Module:
    """A small map from inputs to embeddings, the same in every process."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 4)).double()


def shares(unequal: bool) -> list[tuple[Tensor, Tensor]]:
    """What the two ranks hold, inputs of anchors and positives."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, 16, 6, dtype=torch.float64, generator=generator)
    cut = 9 if unequal else 8
    return [(inputs[0, :cut], inputs[1, :cut]), (inputs[0, cut:], inputs[1, cut:])]


def run_rank(rank: int, folder: str, unequal: bool, losses: list[Loss]) -> None:
    """One of two processes: loss and averaged gradients, as data-parallel training has them."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = []
    for loss in losses:
        model = nn.parallel.DistributedDataParallel(network())
        anchors, positives = shares(unequal)[rank]
        both = model(torch.cat([anchors, positives]))
        value = loss(both[: len(anchors)], both[len(anchors) :])
        value.backward()
        results.append([value.detach(), *(p.grad for p in model.parameters())])
    torch.save(results, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("unequal", [False, True])
def test_two_processes_equal_one_with_the_doubled_batch(unequal: bool) -> None:
    losses = [TripletLoss(), TripletLoss(metric="cosine", squared=False), InfoNCELoss()]
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(run_rank, args=(folder, unequal, losses), nprocs=2)
        ranks = [torch.load(Path(folder) / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    anchors, positives = (torch.cat(side) for side in zip(*shares(unequal), strict=True))
    for index, loss in enumerate(losses):
        model = network()
        value = loss(model(anchors), model(positives))
        value.backward()
        expected = [value.detach(), *(p.grad for p in model.parameters())]
        for rank in ranks:
            for got, want in zip(rank[index], expected, strict=True):
                torch.testing.assert_close(got, want, atol=1e-9, rtol=0)
