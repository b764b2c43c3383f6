r"""What redundancy buys, exactly: spread and error of coded gradients.

N devices, N subsets, H honest devices, load d. The vectors are those of cyclic
coding with a random assignment: :math:`g_i = \frac1d \sum_j \nabla f_{k_j}` over
the d subsets of a random cyclic window. With

.. math:: β^2 = \frac1N \sum_k \lVert \nabla f_k - \nabla F \rVert^2

at the current model, the expectations below are over the assignment, and exact.
The H honest devices hold a uniformly random set of H of the N windows, and the
mean of all N coded vectors is ∇F; the laws are those of sampling without
replacement. β² may be an array, one number an iteration; then so is the result.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lad_mpi.errors import ParameterError

Floats = TypeVar("Floats", float, npt.NDArray[np.float64])


def coded_variance(gradient_variance: Floats, *, num_devices: int, load: int) -> Floats:
    r"""Return V, the expected squared error of one coded vector.

    Parameters
    ----------
    gradient_variance : float or ndarray
        β², mean squared distance of a subset's gradient from ∇F.
    num_devices : int
        N.
    load : int
        d, 1 … N.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        The load is not between 1 and N.

    Notes
    -----
    .. math:: V = E \lVert g_i - \nabla F \rVert^2 = β^2 \frac{N - d}{d (N - 1)}

    Examples
    --------
    >>> from lad_mpi.theory import coded_variance
    >>> coded_variance(1.0, num_devices=11, load=2)
    0.45
    """
    if not 1 <= load <= num_devices:
        raise ParameterError("load", f"must be between 1 and {num_devices}, not {load}")
    return gradient_variance * ((num_devices - load) / (load * max(1, num_devices - 1)))


def honest_dispersion(
    gradient_variance: Floats, *, num_devices: int, num_honest: int, load: int
) -> Floats:
    r"""Return the expected dispersion of honest coded vectors about their own mean.

    Parameters
    ----------
    gradient_variance, num_devices, load
        As in :func:`coded_variance`.
    num_honest : int
        H, 1 … N.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count is out of range.

    Notes
    -----
    With :math:`\bar g` the mean over the honest devices,

    .. math::

        E \frac1H \sum_{i\ \mathrm{honest}} \lVert g_i - \bar g \rVert^2
        = V \frac{N (H - 1)}{H (N - 1)}.
    """
    _check_honest(num_honest, num_devices)
    variance = coded_variance(gradient_variance, num_devices=num_devices, load=load)
    return variance * _about_their_mean(num_devices, num_honest)


def honest_mean_error(
    gradient_variance: Floats, *, num_devices: int, num_honest: int, load: int
) -> Floats:
    r"""Return the expected squared error of the mean of the honest coded vectors.

    Parameters
    ----------
    gradient_variance, num_devices, num_honest, load
        As in :func:`honest_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count is out of range.

    Notes
    -----
    .. math:: E \lVert \bar g - \nabla F \rVert^2 = V \frac{N - H}{H (N - 1)}

    It and the dispersion add up to V.
    """
    _check_honest(num_honest, num_devices)
    variance = coded_variance(gradient_variance, num_devices=num_devices, load=load)
    return variance * ((num_devices - num_honest) / (num_honest * max(1, num_devices - 1)))


def message_dispersion(
    gradient_variance: Floats,
    squared_gradient_norm: Floats,
    *,
    num_devices: int,
    num_honest: int,
    load: int,
    delta: float,
) -> Floats:
    r"""Return the expected dispersion of honest *messages*, compressed, about their own mean.

    Parameters
    ----------
    gradient_variance, num_devices, num_honest, load
        As in :func:`honest_dispersion`.
    squared_gradient_norm : float or ndarray
        ‖∇F‖² at the current model.
    delta : float
        δ of an unbiased codec whose noise has relative variance exactly δ and
        is independent between devices; 0 without compression. If δ is only an
        upper bound, so is the result.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count or δ is out of range.

    Notes
    -----
    Let :math:`C(g_i) = g_i + e_i` with :math:`E[e_i | g] = 0`,
    :math:`E[\lVert e_i \rVert^2 | g] = δ \lVert g_i \rVert^2` and the
    :math:`e_i` independent given g. The cross terms vanish, so the dispersion
    is that of the :math:`g_i` plus that of the :math:`e_i`. Centring H
    independent noises leaves the fraction (H − 1)/H of their mean square, and
    :math:`E \lVert g_i \rVert^2 = V + \lVert \nabla F \rVert^2`:

    .. math::

        E \frac1H \sum_i \lVert C(g_i) - \bar C \rVert^2
        = V \frac{N (H - 1)}{H (N - 1)}
        + \frac{H - 1}{H} δ \left( V + \lVert \nabla F \rVert^2 \right).

    The second term does not vanish at d = N: redundancy does not undo compression.
    """
    variance = coded_variance(gradient_variance, num_devices=num_devices, load=load)
    return sampled_dispersion(
        variance,
        squared_gradient_norm,
        num_devices=num_devices,
        num_honest=num_honest,
        delta=delta,
    )


def sampled_dispersion(
    variance: Floats,
    squared_gradient_norm: Floats,
    *,
    num_devices: int,
    num_honest: int,
    delta: float = 0.0,
) -> Floats:
    r"""Return what :func:`message_dispersion` does, for any code whose V is known.

    Parameters
    ----------
    variance : float or ndarray
        V, expected squared error of one coded vector, of N that are dealt out at random
        and whose mean is ∇F.
    squared_gradient_norm, num_devices, num_honest, delta
        As in :func:`message_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count or δ is out of range.
    """
    _check_honest(num_honest, num_devices)
    spread = variance * _about_their_mean(num_devices, num_honest)
    noise = _codec_noise(variance, squared_gradient_norm, delta)
    return spread + ((num_honest - 1) / num_honest) * noise


def message_mean_error(
    gradient_variance: Floats,
    squared_gradient_norm: Floats,
    *,
    num_devices: int,
    num_honest: int,
    load: int,
    delta: float,
) -> Floats:
    r"""Return the expected squared error of the mean of the honest, compressed messages.

    Parameters
    ----------
    gradient_variance, squared_gradient_norm, num_devices, num_honest, load, delta
        As in :func:`message_dispersion`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count or δ is out of range.

    Notes
    -----
    In the notation of :func:`message_dispersion`,

    .. math::

        E \lVert \bar C - \nabla F \rVert^2
        = V \frac{N - H}{H (N - 1)} + \frac{δ}{H} \left( V + \lVert \nabla F \rVert^2 \right).
    """
    error = honest_mean_error(
        gradient_variance, num_devices=num_devices, num_honest=num_honest, load=load
    )
    variance = coded_variance(gradient_variance, num_devices=num_devices, load=load)
    return error + _codec_noise(variance, squared_gradient_norm, delta) / num_honest


def squared_error_bound(kappa: float, dispersion: Floats, mean_error: Floats) -> Floats:
    r"""Bound the expected squared error of a κ-robust rule.

    Parameters
    ----------
    kappa : float
        κ of the rule; see :func:`~lad_mpi.theory.kappa`.
    dispersion : float or ndarray
        Of what honest devices send: :func:`honest_dispersion`, or
        :func:`message_dispersion` under compression.
    mean_error : float or ndarray
        Of their mean: :func:`honest_mean_error` or :func:`message_mean_error`.

    Returns
    -------
    float or ndarray

    Notes
    -----
    A κ-robust rule has :math:`\lVert R - \bar g \rVert^2 ≤ κ` · dispersion, and
    :math:`\lVert a + b \rVert^2 ≤ 2 \lVert a \rVert^2 + 2 \lVert b \rVert^2`, hence

    .. math::

        E \lVert R - \nabla F \rVert^2
        ≤ 2 κ · \mathrm{dispersion} + 2\, E \lVert \bar g - \nabla F \rVert^2.
    """
    return 2.0 * kappa * dispersion + 2.0 * mean_error


def published_order_as_printed(
    gradient_variance: Floats, kappa: float, *, num_devices: int, num_honest: int, load: int
) -> Floats:
    r"""Return the published order of the error, without its constant, as it is printed.

    Parameters
    ----------
    gradient_variance, num_devices, num_honest, load
        As in :func:`honest_dispersion`.
    kappa : float
        κ of the rule.

    Returns
    -------
    float or ndarray
        Infinite where all devices are honest.

    Raises
    ------
    ParameterError
        A count is out of range.

    Notes
    -----
    .. math:: β^2 \sqrt{\frac{κ (N - d) N}{d H (N - H)}}

    It diverges when all devices are honest, where the error is least;
    :func:`published_order_corrected` has the denominator that follows from V.

    References
    ----------
    Li, Allouah, Guerraoui, Skoglund, Xiao, arXiv:2603.28780.
    """
    _check_honest(num_honest, num_devices)
    if num_honest == num_devices:
        return gradient_variance * 0.0 + math.inf
    growth = kappa * coded_variance(1.0, num_devices=num_devices, load=load)
    growth *= num_devices * (num_devices - 1) / (num_honest * (num_devices - num_honest))
    return gradient_variance * math.sqrt(growth)


def published_order_corrected(
    gradient_variance: Floats, kappa: float, *, num_devices: int, num_honest: int, load: int
) -> Floats:
    r"""Return the published order with N − 1 where N − H is printed.

    Parameters
    ----------
    gradient_variance, kappa, num_devices, num_honest, load
        As in :func:`published_order_as_printed`.

    Returns
    -------
    float or ndarray

    Raises
    ------
    ParameterError
        A count is out of range.

    Notes
    -----
    .. math:: β^2 \sqrt{\frac{κ (N - d) N}{d H (N - 1)}}

    V has N − 1 in its denominator, whatever H is.

    References
    ----------
    Li, Allouah, Guerraoui, Skoglund, Xiao, arXiv:2603.28780.
    """
    _check_honest(num_honest, num_devices)
    variance = coded_variance(1.0, num_devices=num_devices, load=load)
    return gradient_variance * math.sqrt(kappa * variance * num_devices / num_honest)


def _about_their_mean(num_devices: int, num_honest: int) -> float:
    return num_devices * (num_honest - 1) / (num_honest * max(1, num_devices - 1))


def _codec_noise(variance: Floats, squared_gradient_norm: Floats, delta: float) -> Floats:
    if delta < 0.0:
        raise ParameterError("delta", f"must be at least 0, not {delta}")
    return delta * (variance + squared_gradient_norm)


def _check_honest(num_honest: int, num_devices: int) -> None:
    if not 1 <= num_honest <= num_devices:
        raise ParameterError("num_honest", f"must be between 1 and {num_devices}, not {num_honest}")
