"""What is known on paper: laws of coded gradients and robustness of rules."""

from lad_mpi.theory.batches import (
    batch_dispersion,
    batch_gradient_variance,
    batch_mean_error,
    batch_noise,
    momentum_dispersion,
    momentum_dispersion_limit,
    own_batch_dispersion,
)
from lad_mpi.theory.dispersion import (
    coded_variance,
    honest_dispersion,
    honest_mean_error,
    message_dispersion,
    message_mean_error,
    published_order_as_printed,
    published_order_corrected,
    sampled_dispersion,
    squared_error_bound,
)
from lad_mpi.theory.kappa import AFTER_NNM, KAPPA, PUBLISHED, Bound, kappa, lower_bound

__all__ = [
    "AFTER_NNM",
    "KAPPA",
    "PUBLISHED",
    "Bound",
    "batch_dispersion",
    "batch_gradient_variance",
    "batch_mean_error",
    "batch_noise",
    "coded_variance",
    "honest_dispersion",
    "honest_mean_error",
    "kappa",
    "lower_bound",
    "message_dispersion",
    "message_mean_error",
    "momentum_dispersion",
    "momentum_dispersion_limit",
    "own_batch_dispersion",
    "published_order_as_printed",
    "published_order_corrected",
    "sampled_dispersion",
    "squared_error_bound",
]
