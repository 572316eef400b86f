"""SciRepEval: the 23 scored tasks, an independent evaluator, and the averages of the paper's Table 2."""

from semcse.scirepeval.aggregate import aggregate
from semcse.scirepeval.evaluate import evaluate

__all__ = ["aggregate", "evaluate"]
