"""Batch, instance and group normalisation and their gradients, for 1 to 3 spatial axes, channels last or first."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from convkit.ops import check
from convkit.ops import normalising as run
from convkit.plan import geometry

__all__ = ["batch_norm", "batch_norm_grad", "group_norm", "group_norm_grad", "instance_norm", "instance_norm_grad"]

ACTIVATIONS = {None: 0, "relu": 1, "relu6": 6}          # as the kernels have them


def batch_norm(
    x: Any, running_mean: np.ndarray | None = None, running_var: np.ndarray | None = None, weight: Any = None,
    bias: Any = None, *, training: bool = False, momentum: float = 0.1, eps: float = 1e-5, activation: str | None = None,
    residual: Any = None, return_stats: bool = False, layout: str | None = None, out: np.ndarray | None = None,
    threads: int | None = None,
) -> Any:  # fmt: skip
    """Batch normalisation, ``y = (x - mean) / sqrt(var + eps) * weight + bias``, of each channel.

    In training, mean and var are those of the batch (var over all values, not one less), and the running statistics, where
    given, become ``(1 - momentum) * running + momentum * new`` in place, with the unbiased variance ``var * n / (n - 1)``.
    Otherwise mean and var are the running ones. ``y = relu(y + residual)`` comes in the same pass.

    Parameters
    ----------
    x : array_like of shape (N, ..., C), float32 or float64
        With 0 to 3 spatial axes.
    running_mean, running_var : ndarray of shape (C,), dtype of x
        Needed unless training.
    weight, bias : array_like of shape (C,), optional
        1 and 0 if not given.
    training : bool, default False
    momentum : float in [0, 1], default 0.1
        Weight of the new value.
    eps : float >= 0, default 1e-5
    activation : None, "relu" or "relu6"
    residual : array_like of the shape of x, optional
        Added before the activation.
    return_stats : bool, default False
        Also return (mean, var), which `batch_norm_grad` takes.
    layout : str, optional
        "NCL", "NCHW" or "NCDHW" where channels come first.
    out : ndarray of the shape of x, optional
    threads : int, optional

    Returns
    -------
    y : ndarray of the shape of x
    stats : (mean, var), float64, only with `return_stats`

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, or a channel has one value in training: nothing is written then.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import batch_norm
    >>> batch_norm(np.array([[1.0], [3.0]]), training=True, eps=0.0)
    array([[-1.],
           [ 1.]])
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> y = batch_norm(np.array([[1.0], [3.0]]), mean, var, training=True)
    >>> mean, var
    (array([0.2]), array([1.1]))
    """
    op = "batch_norm"
    first, x = _images(x, layout, op)
    see = run.columns(x, together=True)
    weight, bias = (_per_channel(a, see.channels, x.dtype, op, n) for n, a in (("weight", weight), ("bias", bias)))
    training, return_stats = check.flag(training, op, "training"), check.flag(return_stats, op, "return_stats")
    running = [
        _running(a, see.channels, x.dtype, training, op, n)
        for n, a in (("running_mean", running_mean), ("running_var", running_var))
    ]
    if not training and any(a is None for a in running):
        raise ValueError(f"{op}: running_mean and running_var are needed unless training")
    momentum, eps, relu = checked_share(momentum, op, "momentum"), checked_eps(eps, op), _relu(activation, op)
    residual = _like(residual, x, first, op, "residual")
    threads = run.threads_for(threads, x, op)
    if training and see.pixels == 1 and x.size:
        raise ValueError(f"{op}: training needs more than 1 value per channel, got x of shape {check.named(x.shape, first)}")
    y = _result(out, x, first, (x, residual, *running, weight, bias), op)
    stats = running if not training else (np.zeros(see.channels), np.ones(see.channels))
    if x.size:
        if training:
            stats = tuple(a[0] for a in run.moments(x, see, threads))
            for a, new in zip(running, (stats[0], stats[1] * (see.pixels / (see.pixels - 1))), strict=True):
                if a is not None:
                    a[...] = (1 - momentum) * a + momentum * new
        run.normalised(x, see, stats, weight, bias, eps, relu, residual, y, threads)
    y = check.returned(y, out, first)
    return (y, tuple(np.array(a, np.float64) for a in stats)) if return_stats else y


def batch_norm_grad(
    dy: Any, x: Any, weight: Any = None, bias: Any = None, *, stats: Any = None, training: bool = True, eps: float = 1e-5,
    activation: str | None = None, y: Any = None, residual: bool = False, layout: str | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """Gradients of batch_norm, (dx, dweight, dbias), and dresidual after them if `residual`.

    Parameters
    ----------
    dy, x : array_like of shape (N, ..., C)
        Gradient of the result, and the input.
    weight, bias, eps, activation, layout, threads
        As for `batch_norm`.
    stats : (mean, var) of shape (C,), optional
        What batch_norm returned with ``return_stats=True``; worked out from x again if not given.
    training : bool, default True
        If False, `stats` are the running ones, which do not depend on x.
    y : array_like of the shape of x, optional
        The result; with an activation and a residual it says where the activation let through.
    residual : bool, default False
        Whether something was added before the activation.

    Returns
    -------
    dx, dweight, dbias[, dresidual] : ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit.ops import batch_norm_grad
    >>> dx, dweight, dbias = batch_norm_grad(np.array([[1.0], [0.0]]), np.array([[1.0], [3.0]]), eps=0.0)
    >>> dx, dweight, dbias
    (array([[0.],
           [0.]]), array([-1.]), array([1.]))
    """
    op = "batch_norm_grad"
    first, x = _images(x, layout, op)
    dy = _like(dy, x, first, op, "dy")
    see = run.columns(x, together=True)
    weight, bias = (_per_channel(a, see.channels, x.dtype, op, n) for n, a in (("weight", weight), ("bias", bias)))
    training, residual = check.flag(training, op, "training"), check.flag(residual, op, "residual")
    eps, relu = checked_eps(eps, op), _relu(activation, op)
    y = _like(y, x, first, op, "y")
    if relu and residual and y is None:
        raise ValueError(f"{op}: an activation after a residual needs y, the result of batch_norm")
    if not training and stats is None:
        raise ValueError(f"{op}: without training, stats must be the running mean and variance")
    if training and see.pixels == 1 and x.size:
        raise ValueError(f"{op}: training needs more than 1 value per channel, got x of shape {check.named(x.shape, first)}")
    stats = _stats(stats, (see.channels,), op)
    y = y if relu else None
    return _gradients(op, dy, x, see, stats, weight, bias, eps, relu, y, not training, residual, first, threads)


def instance_norm(
    x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5, return_stats: bool = False, layout: str | None = None,
    out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Normalisation of each channel of each image over its pixels; arguments as of `batch_norm`.

    The statistics have shape (N, C).

    >>> import numpy as np
    >>> from convkit.ops import instance_norm
    >>> instance_norm(np.array([[[1.0], [3.0]]]), eps=0.0).ravel()
    array([-1.,  1.])
    """
    return _of_images("instance_norm", x, None, weight, bias, eps, return_stats, layout, out, threads)


def instance_norm_grad(
    dy: Any, x: Any, weight: Any = None, *, stats: Any = None, eps: float = 1e-5, layout: str | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of instance_norm, (dx, dweight, dbias); arguments as of `batch_norm_grad`.

    >>> import numpy as np
    >>> from convkit.ops import instance_norm_grad
    >>> x = np.array([[[1.0], [3.0]]])
    >>> dx, dweight, dbias = instance_norm_grad(np.ones_like(x), x)
    >>> dx.ravel(), dweight, dbias
    (array([0., 0.]), array([0.]), array([2.]))
    """
    return _of_images_grad("instance_norm_grad", dy, x, None, weight, stats, eps, layout, threads)


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, *, eps: float = 1e-5, return_stats: bool = False,
    layout: str | None = None, out: np.ndarray | None = None, threads: int | None = None,
) -> Any:  # fmt: skip
    """Normalisation of each group of neighbouring channels of each image over its pixels; arguments as of `batch_norm`.

    The statistics have shape (N, num_groups).

    >>> import numpy as np
    >>> from convkit.ops import group_norm
    >>> group_norm(np.array([[[1.0, 3.0, 5.0, 5.0]]]), 2, eps=1e-9).ravel().round(6)
    array([-1.,  1.,  0.,  0.])
    """
    return _of_images("group_norm", x, num_groups, weight, bias, eps, return_stats, layout, out, threads)


def group_norm_grad(
    dy: Any, x: Any, num_groups: int, weight: Any = None, *, stats: Any = None, eps: float = 1e-5, layout: str | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Gradients of group_norm, (dx, dweight, dbias); arguments as of `batch_norm_grad`.

    >>> import numpy as np
    >>> from convkit.ops import group_norm_grad
    >>> x = np.array([[[1.0, 3.0, 5.0, 5.0]]])
    >>> group_norm_grad(np.ones_like(x), x, 2)[2]
    array([1., 1., 1., 1.])
    """
    return _of_images_grad("group_norm_grad", dy, x, num_groups, weight, stats, eps, layout, threads)


def _of_images(op, x, groups, weight, bias, eps, return_stats, layout, out, threads):
    first, x = _images(x, layout, op)
    see = _groups(x, groups, first, op)
    weight, bias = (_per_channel(a, see.channels, x.dtype, op, n) for n, a in (("weight", weight), ("bias", bias)))
    eps, return_stats = checked_eps(eps, op), check.flag(return_stats, op, "return_stats")
    threads = run.threads_for(threads, x, op)
    y = _result(out, x, first, (x, weight, bias), op)
    stats = np.zeros((see.batches, see.groups)), np.ones((see.batches, see.groups))
    if x.size:
        stats = run.moments(x, see, threads)
        run.normalised(x, see, stats, weight, bias, eps, False, None, y, threads)
    y = check.returned(y, out, first)
    return (y, stats) if return_stats else y


def _of_images_grad(op, dy, x, groups, weight, stats, eps, layout, threads):
    first, x = _images(x, layout, op)
    dy = _like(dy, x, first, op, "dy")
    see = _groups(x, groups, first, op)
    weight, eps = _per_channel(weight, see.channels, x.dtype, op, "weight"), checked_eps(eps, op)
    stats = _stats(stats, (see.batches, see.groups), op)
    return _gradients(op, dy, x, see, stats, weight, None, eps, False, None, False, False, first, threads)


def _gradients(op, dy, x, see, stats, weight, bias, eps, relu, y, fixed, residual, first, threads):
    threads = run.threads_for(threads, x, op)
    dx, dresidual = run.empty_like(x, op), run.empty_like(x, op) if residual else None
    dweight = dbias = np.zeros(see.channels)
    if x.size:
        stats = run.moments(x, see, threads) if stats is None else stats
        dweight, dbias = run.gradients(dy, x, see, stats, weight, bias, eps, relu, y, fixed, dx, dresidual, threads)
    results = check.returned(dx, None, first), dweight.astype(x.dtype), dbias.astype(x.dtype)
    return (*results, check.returned(dresidual, None, first)) if residual else results


def _images(x: Any, layout: Any, op: str) -> tuple[bool, np.ndarray]:
    """Whether channels come first, and `x` contiguous with the channels last."""
    x = check.array(x, op, "x")
    rank = x.ndim - 2
    if not 0 <= rank <= 3:
        raise ValueError(f"{op}: x must be 2-D to 5-D (N, ..., C), got {x.ndim}-D {x.shape}")
    first = check.channels_first(layout, rank, op) if rank else False
    return first, _contiguous(np.moveaxis(x, 1, -1) if first else x)


def _contiguous(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(check.readable(x))


def _like(a: Any, x: np.ndarray, first: bool, op: str, name: str) -> np.ndarray | None:
    """An array of the shape and dtype of x, contiguous with the channels last."""
    if a is None and name != "dy":
        return None
    a = check.array(a, op, name)
    check.same_dtype(op, x=x, **{name: a})
    if a.shape != check.named(x.shape, first):
        raise ValueError(f"{op}: {name} must have the shape of x {check.named(x.shape, first)}, got {a.shape}")
    return _contiguous(np.moveaxis(a, 1, -1) if first else a)


def _groups(x: np.ndarray, groups: Any, first: bool, op: str) -> run.Columns:
    channels = x.shape[-1]
    if groups is not None:
        groups = geometry.integer(groups, op, "num_groups")
        if groups < 1 or channels % groups:
            raise ValueError(f"{op}: num_groups must divide the {channels} channels, got {groups}")
    see = run.columns(x, groups)
    if x.size and see.count == 1:
        raise ValueError(f"{op}: needs more than 1 value per mean, got x of shape {check.named(x.shape, first)}")
    return see


def _per_channel(a: Any, channels: int, dtype, op: str, name: str) -> np.ndarray | None:
    if a is None:
        return None
    a = check.array(a, op, name)
    if a.dtype != dtype:
        raise TypeError(f"{op}: x and {name} must have the same dtype, got {dtype} and {a.dtype}")
    if a.shape != (channels,):
        raise ValueError(f"{op}: {name} must have shape ({channels},), got {a.shape}")
    return a


def _running(a: Any, channels: int, dtype, training: bool, op: str, name: str) -> np.ndarray | None:
    if a is not None and training:
        if not isinstance(a, np.ndarray):
            raise TypeError(f"{op}: {name} is updated in training: it must be a numpy array, got {type(a).__name__}")
        if not a.flags.writeable:
            raise ValueError(f"{op}: {name} is read-only, and is updated in training")
    checked = _per_channel(a, channels, dtype, op, name)
    return a if training else checked


def _stats(stats: Any, shape: tuple[int, ...], op: str) -> tuple[np.ndarray, np.ndarray] | None:
    if stats is None:
        return None
    if not isinstance(stats, (tuple, list)) or len(stats) != 2:
        raise TypeError(f"{op}: stats must be a pair (mean, var)")
    pair = tuple(check.array(a, op, "stats") for a in stats)
    for a in pair:
        if a.shape != shape:
            raise ValueError(f"{op}: stats must have shape {shape}, got {a.shape}")
    return pair


def checked_share(value: Any, op: str, name: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{op}: {name} must be in [0, 1], got {value}")
    return float(value)


def checked_eps(value: Any, op: str) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{op}: eps must be a number, got {value!r}")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{op}: eps must be >= 0 and finite, got {value}")
    return float(value)


def _relu(activation: Any, op: str) -> int:
    return ACTIVATIONS[check.choice(activation, tuple(ACTIVATIONS), op, "activation")]


def _result(out, x: np.ndarray, first: bool, inputs, op: str) -> np.ndarray:
    """Where to write: `out` itself only if it is contiguous channels last."""
    y = check.result(out, x.shape, x.dtype, first, inputs, op)
    return y if y.flags.c_contiguous else run.empty_like(x, op)
