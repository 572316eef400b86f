"""SciRepEval: the 23 scored tasks, an independent evaluator, and the averages of the paper's Table 2."""

from semcse.scirepeval.aggregate import aggregate

__all__ = ["aggregate"]
