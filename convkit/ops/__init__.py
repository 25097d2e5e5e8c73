"""The functional face: each op checks, plans, allocates and runs."""

from convkit.ops.act import log_softmax, log_softmax_grad, relu, relu_grad, softmax, softmax_grad
from convkit.ops.columns import col2im, im2col
from convkit.ops.conv import conv1d, conv2d, conv3d, conv_output_shape
from convkit.ops.conv_grad import conv1d_grad, conv2d_grad, conv3d_grad
from convkit.ops.explain import Explanation, explain
from convkit.ops.filters import PackedFilters, pack_filters
from convkit.ops.pool import (
    avg_pool1d,
    avg_pool1d_grad,
    avg_pool2d,
    avg_pool2d_grad,
    avg_pool3d,
    avg_pool3d_grad,
    max_pool1d,
    max_pool1d_grad,
    max_pool2d,
    max_pool2d_grad,
    max_pool3d,
    max_pool3d_grad,
)
from convkit.ops.separable import separable_conv2d
from convkit.ops.transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d, conv_transpose_output_shape
from convkit.ops.transpose_grad import conv_transpose1d_grad, conv_transpose2d_grad, conv_transpose3d_grad

__all__ = [
    "Explanation",
    "PackedFilters",
    "avg_pool1d",
    "avg_pool1d_grad",
    "avg_pool2d",
    "avg_pool2d_grad",
    "avg_pool3d",
    "avg_pool3d_grad",
    "col2im",
    "conv1d",
    "conv1d_grad",
    "conv2d",
    "conv2d_grad",
    "conv3d",
    "conv3d_grad",
    "conv_output_shape",
    "conv_transpose1d",
    "conv_transpose1d_grad",
    "conv_transpose2d",
    "conv_transpose2d_grad",
    "conv_transpose3d",
    "conv_transpose3d_grad",
    "conv_transpose_output_shape",
    "explain",
    "im2col",
    "log_softmax",
    "log_softmax_grad",
    "max_pool1d",
    "max_pool1d_grad",
    "max_pool2d",
    "max_pool2d_grad",
    "max_pool3d",
    "max_pool3d_grad",
    "pack_filters",
    "relu",
    "relu_grad",
    "separable_conv2d",
    "softmax",
    "softmax_grad",
]
