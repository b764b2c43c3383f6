r"""What redundancy buys with mini-batches, and with momentum on the devices.

In every iteration, b of the m samples of each subset are drawn without replacement. A batch
belongs to the subset: all devices that hold the subset use the same samples. The gradients of
the batches are unbiased, and for a subset k

.. math::

    E \lVert \nabla f_k^B - \nabla f_k \rVert^2 = \frac{m - b}{b (m - 1)} s_k^2

with :math:`s_k^2` the variance of the gradients of its samples. The mean over k is σ². Here the
expectations are over the batches and over the random assignment, and exact. *Given* the batches
that were drawn, the laws of :mod:`lad_mpi.theory.dispersion` hold with the β² of the batches'
gradients and their mean in place of ∇F.

N is the number of devices and of subsets, H of honest devices, and d the load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from lad_mpi.errors import ParameterError
from lad_mpi.theory.dispersion import (
    honest_dispersion,
    message_dispersion,
    message_mean_error,
)

if TYPE_CHECKING:
    from lad_mpi.types import HostFloats, HostInts

Floats = TypeVar("Floats", float, npt.NDArray[np.float64])


def batch_noise(
    sample_variances: HostFloats, subset_sizes: int | HostInts, *, batch_size: int
) -> float:
    r"""Return σ², the mean squared error of the gradient of a batch.

    Parameters
    ----------
    sample_variances : ndarray of float, shape (N,)
        :math:`s_k^2`, for each subset the mean squared distance of the gradients of its
        samples from their mean.
    subset_sizes : int or ndarray of int, shape (N,)
        m, the number of samples of a subset.
    batch_size : int
        b. A batch that is larger than its subset is the whole subset.

    Returns
    -------
    float

    Raises
    ------
    ParameterError
        A size is below 1.

    Notes
    -----
    .. math:: σ^2 = \frac1N \sum_k \frac{m_k - b_k}{b_k (m_k - 1)} s_k^2,
              \qquad b_k = \min(b, m_k)

    Examples
    --------
    >>> import numpy as np
    >>> from lad_mpi.theory import batch_noise
    >>> batch_noise(np.array([3.0, 5.0]), 4, batch_size=2)
    1.3333333333333333
    """
    sizes = np.broadcast_to(subset_sizes, np.shape(sample_variances))
    for name, smallest in (("subset_sizes", sizes.min()), ("batch_size", batch_size)):
        if smallest < 1:
            raise ParameterError(name, f"must be at least 1, not {smallest}")
    drawn = np.minimum(batch_size, sizes)
    shares = (sizes - drawn) / (drawn * np.maximum(sizes - 1, 1))
    return float(np.mean(shares * sample_variances))


def batch_gradient_variance(
    gradient_variance: Floats, noise: Floats, *, num_devices: int
) -> Floats:
    r"""Return the expected β² of the gradients of the batches.

    Parameters
    ----------
    gradient_variance : float or ndarray
        β², mean squared distance of a subset's gradient from ∇F.
    noise : float or ndarray
        σ²; see :func:`batch_noise`.
    num_devices : int
        N.

    Returns
    -------
    float or ndarray
        For :func:`~lad_mpi.theory.coded_variance`, which then returns V', and other laws.

    Notes
    -----
    .. math::

        E \frac1N \sum_k \lVert \nabla f_k^B - \nabla F^B \rVert^2 = β^2 + σ^2 \frac{N - 1}{N},
        \qquad
        V' = \left( β^2 + σ^2 \frac{N - 1}{N} \right) \frac{N - d}{d (N - 1)}

    V' is the expected squared distance of a coded vector from the mean :math:`\nabla F^B` of
    the batches' gradients. From ∇F it is V' + σ²/N.
    """
    return gradient_variance + noise * ((num_devices - 1) / num_devices)


def batch_dispersion(
    gradient_variance: Floats,
    noise: Floats,
    squared_gradient_norm: Floats,
    *,
    num_devices: int,
    num_honest: int,
    load: int,
    delta: float = 0.0,
) -> Floats:
    r"""Return the expected dispersion of honest messages about their own mean, with batches.

    Parameters
    ----------
    gradient_variance, noise
        As in :func:`batch_gradient_variance`.
    squared_gradient_norm, num_devices, num_honest, load, delta
        As in :func:`~lad_mpi.theory.message_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count or δ is out of range.

    Notes
    -----
    With V' of :func:`batch_gradient_variance`,

    .. math::

        V' \frac{N (H - 1)}{H (N - 1)}
        + \frac{H - 1}{H} δ \left( V' + \lVert \nabla F \rVert^2 + \frac{σ^2}{N} \right).

    Without compression it is zero at d = N: all devices have the same batches.
    """
    return message_dispersion(
        batch_gradient_variance(gradient_variance, noise, num_devices=num_devices),
        squared_gradient_norm + noise / num_devices,
        num_devices=num_devices,
        num_honest=num_honest,
        load=load,
        delta=delta,
    )


def batch_mean_error(
    gradient_variance: Floats,
    noise: Floats,
    squared_gradient_norm: Floats,
    *,
    num_devices: int,
    num_honest: int,
    load: int,
    delta: float = 0.0,
) -> Floats:
    r"""Return the expected squared error of the mean of the honest messages, with batches.

    Parameters
    ----------
    gradient_variance, noise, squared_gradient_norm, num_devices, num_honest, load, delta
        As in :func:`batch_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count or δ is out of range.

    Notes
    -----
    .. math::

        V' \frac{N - H}{H (N - 1)} + \frac{σ^2}{N}
        + \frac{δ}{H} \left( V' + \lVert \nabla F \rVert^2 + \frac{σ^2}{N} \right)

    Redundancy does not reduce σ²/N, the error of the batches themselves.
    """
    error = message_mean_error(
        batch_gradient_variance(gradient_variance, noise, num_devices=num_devices),
        squared_gradient_norm + noise / num_devices,
        num_devices=num_devices,
        num_honest=num_honest,
        load=load,
        delta=delta,
    )
    return error + noise / num_devices


def own_batch_dispersion(
    gradient_variance: Floats, noise: Floats, *, num_devices: int, num_honest: int, load: int
) -> Floats:
    r"""Return the expected dispersion if every device drew its own batches.

    The suite never does this. It is the number to compare :func:`batch_dispersion` with.

    Parameters
    ----------
    gradient_variance, noise, num_devices, num_honest, load
        As in :func:`batch_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count is out of range.

    Notes
    -----
    With V of :func:`~lad_mpi.theory.coded_variance`,

    .. math:: V \frac{N (H - 1)}{H (N - 1)} + \frac{H - 1}{H} \frac{σ^2}{d}.

    It is not zero at d = N, and no code can compare such vectors.
    """
    spread = honest_dispersion(
        gradient_variance, num_devices=num_devices, num_honest=num_honest, load=load
    )
    return spread + noise * ((num_honest - 1) / (num_honest * load))


def momentum_dispersion_limit(dispersion: Floats, momentum: float) -> Floats:
    r"""Return the dispersion that momentum on the devices leaves after many iterations.

    Parameters
    ----------
    dispersion : float or ndarray
        :math:`D_g`, expected dispersion of the honest coded vectors, the same in all
        iterations.
    momentum : float
        μ of :math:`m_i ← μ m_i + (1 - μ) g_i`, from 0 to below 1.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        μ is out of range.

    Notes
    -----
    .. math:: \lim_{t → ∞} D_m(t) = \frac{1 - μ}{1 + μ} D_g

    for a model that stays the same; see :func:`momentum_dispersion`.
    """
    _check_momentum(momentum)
    return dispersion * ((1.0 - momentum) / (1.0 + momentum))


def momentum_dispersion(dispersions: npt.ArrayLike, momentum: float) -> npt.NDArray[np.float64]:
    r"""Return the expected dispersion of the honest devices' momenta in each iteration.

    Parameters
    ----------
    dispersions : array_like, shape (T,)
        :math:`D_g(t)`, expected dispersion of the honest coded vectors in iteration t.
    momentum : float
        As in :func:`momentum_dispersion_limit`.

    Returns
    -------
    ndarray of float64, shape (T,)
        :math:`D_m(t)`.

    Raises
    ------
    ParameterError
        μ is out of range.

    Notes
    -----
    The momenta start from zero. With :math:`D_m(-1) = 0`,

    .. math:: D_m(t) = μ^2 D_m(t - 1) + (1 - μ)^2 D_g(t).

    The assignment is random and drawn again in every iteration. Given all earlier iterations,
    :math:`g_i - \bar g` then has mean zero, so the products with earlier deviations vanish.
    This holds for a model that moves as well, whatever moves it. With a fixed assignment the
    deviations add up, and momentum gains nothing.
    """
    _check_momentum(momentum)
    values = np.asarray(dispersions, dtype=np.float64)
    found, last = np.empty_like(values), 0.0
    for t, dispersion in enumerate(values):
        last = momentum**2 * last + (1.0 - momentum) ** 2 * dispersion
        found[t] = last
    return found


def _check_momentum(momentum: float) -> None:
    if not 0.0 <= momentum < 1.0:
        raise ParameterError("momentum", f"must be at least 0 and below 1, not {momentum}")
