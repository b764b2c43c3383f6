"""Learning problems: data split into subsets, their gradients and their loss."""

from lad_mpi.data.base import CountedProblem, GradientWork, Problem, ProblemData, SizedProblem
from lad_mpi.models.linear_regression import LeastSquares
from lad_mpi.data.synthetic import LinearRegression

#: Every problem of the suite by the name that a spec uses.
PROBLEMS: dict[str, type[Problem]] = {
    "linear_regression": LinearRegression,
}

__all__ = [
    "PROBLEMS",
    "CountedProblem",
    "GradientWork",
    "LeastSquares",
    "LinearRegression",
    "Problem",
    "ProblemData",
    "SizedProblem",
]
