"""A call like an earlier one is known by its arguments: it gives the same bits, and every error is still raised."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from bounds import assert_same_bits

import convkit
from convkit._core import cpu
from convkit.ops import again, conv, pooling


def filters(channels=8, outputs=8, kernel=(3, 3), dtype=np.float32, groups=1):
    rng = np.random.default_rng(1)
    return rng.standard_normal((outputs, *kernel, channels // groups)).astype(dtype)


def images(*shape, dtype=np.float32, seed=2):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def known(packed, x, b=None, **how):
    """The result of a call that is certainly a repeated one."""
    convkit.conv2d(x, packed, b, **how)
    before = packed.calls.count
    y = convkit.conv2d(x, packed, b, **how)
    assert packed.calls.count == before + 1
    return y


CALLS = [
    ((1, 8, 8, 8), 8, 1, {"padding": 1}),
    ((2, 5, 7, 3), 5, 1, {"stride": 2, "padding": ((1, 0), (2, 1)), "activation": "relu"}),
    ((1, 9, 9, 4), 6, 2, {"dilation": 2, "padding": "same"}),
    ((3, 40, 40, 16), 33, 1, {"padding": 1}),
    ((1, 1, 1, 64), 10, 1, {"padding": (1, 1)}),
    ((1, 6, 6, 32), 32, 32, {"padding": 1}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("shape", "outputs", "groups", "how"), CALLS)
def test_a_repeated_call_has_the_bits_of_the_first_and_of_plain_filters(shape, outputs, groups, how, biased, dtype, isa):
    w, x = filters(shape[-1], outputs, dtype=dtype, groups=groups), images(*shape, dtype=dtype)
    b = images(outputs, dtype=dtype) if biased else None
    packed = convkit.pack_filters(w, groups=groups)
    for threads in (None, 1, 2, 3, 7):
        y = known(packed, x, b, groups=groups, threads=threads, **how)
        assert_same_bits(y, convkit.conv2d(x, w, b, groups=groups, **how))
        assert y.flags.c_contiguous
    assert y is not known(packed, x, b, groups=groups, **how)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "size", "groups"), [
    ((3,), (90,), 1), ((7, 7), (6, 5), 1), ((7, 7), (9, 20), 2), ((3, 3, 3), (4, 5, 6), 1), ((3, 3), (20, 60), 1)])
def test_small_calls_on_other_images_at_other_addresses(kernel, size, groups, dtype, isa):
    """What an earlier call has kept about its pixels fits the next one: filters of many taps, and blocks of many pixels."""
    run = {1: convkit.conv1d, 2: convkit.conv2d, 3: convkit.conv3d}[len(kernel)]
    w, how = filters(4, 6, kernel, dtype, groups), {"padding": "same", "groups": groups, "algorithm": "direct"}
    packed = convkit.pack_filters(w, groups=groups)
    kept = [images(2, *size, 4, dtype=dtype, seed=seed) for seed in range(4)]
    for x in kept:
        y = run(x, packed, **how)
        assert_same_bits(y, run(x, w, **how))
    assert packed.calls.count == len(kept) - 1


@pytest.mark.parametrize("algorithm", conv.ALGORITHMS)
@pytest.mark.parametrize("size", [8, 24])
def test_repeated_calls_of_every_algorithm(algorithm, size):
    """Under 1 MFLOP, which may take a way of its own, and above."""
    groups = {"depthwise": 16, "grouped": 4}.get(algorithm, 1)
    w, x = filters(16, 16, groups=groups), images(1, size, size, 16)
    how = {"padding": 1, "groups": groups, "algorithm": algorithm}
    packed = convkit.pack_filters(w, groups=groups)
    for value, threads in ((1, 1), (np.inf, 2), (np.nan, 3), (2, 3)):
        x[0, 3, 2, 5] = value
        assert_same_bits(known(packed, x, threads=threads, **how), convkit.conv2d(x, w, **how))


def test_the_call_of_a_tiny_layer_is_direct():
    x, w = images(1, 8, 8, 8), filters()
    assert "direct" in str(convkit.explain("conv2d", x, w, padding=1))


def test_new_values_of_the_image_and_the_bias_are_seen():
    w, b, packed = filters(), images(8), convkit.pack_filters(filters())
    for seed in range(3):
        x = images(1, 8, 8, 8, seed=seed)
        b[:] = seed
        assert_same_bits(known(packed, x, b), convkit.conv2d(x, w, b))


def test_plain_filters_may_change_in_place():
    w, x = filters(), images(1, 8, 8, 8)
    first = convkit.conv2d(x, w)
    w *= 2
    assert_same_bits(convkit.conv2d(x, w), 2 * first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "outputs", "groups", "how"), CALLS)
def test_a_repeated_call_with_plain_filters_reads_them_again(shape, outputs, groups, how, dtype, isa):
    x, out = images(*shape, dtype=dtype), None
    for seed in range(4):
        w, b = filters(shape[-1], outputs, dtype=dtype, groups=groups) + dtype(seed), images(outputs, dtype=dtype, seed=seed)
        before, want = again.PLAIN.count, convkit.conv2d(x, convkit.pack_filters(w, groups=groups), b, groups=groups, **how)
        y = convkit.conv2d(x, w, b, groups=groups, out=out, **how)
        assert_same_bits(y, want)
        assert again.PLAIN.count >= before + (seed > 0)
        out = np.empty_like(y) if seed > 0 else None


def test_plain_filters_are_not_kept_alive():
    w = filters()
    there = weakref.ref(w)
    for _ in range(3):
        convkit.conv2d(images(1, 8, 8, 8), w, padding=1)
    del w
    assert there() is None


UNUSUAL = [
    lambda x: x[:, ::-1],
    lambda x: np.asfortranarray(x),
    lambda x: x.astype(">f4"),
    lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    lambda x: memoryview(x),
    lambda x: np.broadcast_to(x[:, :1], x.shape),
]


@pytest.mark.parametrize("make", UNUSUAL)
def test_an_unusual_array_after_a_usual_one(make):
    w, x = filters(), images(1, 8, 8, 8)
    packed = convkit.pack_filters(w)
    known(packed, x, padding=1)
    y = make(x)
    want = convkit.conv2d(np.array(y, np.float32, order="C"), w, padding=1)
    for _ in range(2):
        assert_same_bits(convkit.conv2d(y, packed, padding=1), want)


WRONG = [
    (TypeError, lambda x, p: convkit.conv2d(x.astype(np.float64), p, padding=1)),
    (TypeError, lambda x, p: convkit.conv2d(x.astype(np.int32), p, padding=1)),
    (TypeError, lambda x, p: convkit.conv2d(np.ma.masked_array(x), p, padding=1)),
    (TypeError, lambda x, p: convkit.conv2d(x, p, padding=True)),
    (TypeError, lambda x, p: convkit.conv2d(x, p, padding=1.0)),
    (TypeError, lambda x, p: convkit.conv2d(x, p, padding=(1, True))),
    (TypeError, lambda x, p: convkit.conv2d(x, p, padding=1, stride=True)),
    (TypeError, lambda x, p: convkit.conv2d(x, p, padding=1, threads=True)),
    (ValueError, lambda x, p: convkit.conv2d(x, p, padding=1, stride=0)),
    (ValueError, lambda x, p: convkit.conv2d(x, p, padding=1, threads=0)),
    (ValueError, lambda x, p: convkit.conv2d(x, p, padding=1, groups=2)),
    (ValueError, lambda x, p: convkit.conv2d(x[0, 0], p, padding=1)),
    (ValueError, lambda x, p: convkit.conv2d(x[..., :7], p, padding=1)),
    (ValueError, lambda x, p: convkit.conv2d(x, p, np.zeros(7, np.float32), padding=1)),
    (TypeError, lambda x, p: convkit.conv2d(x, p, np.zeros(8), padding=1)),
    (ValueError, lambda x, p: convkit.conv2d(x, p, padding=1, layout="NHCW")),
    (ValueError, lambda x, p: convkit.conv3d(x, p, padding=1)),
]


@pytest.mark.parametrize(("error", "call"), WRONG)
def test_a_wrong_call_after_a_right_one_is_refused(error, call):
    x, packed = images(1, 8, 8, 8), convkit.pack_filters(filters())
    known(packed, x, padding=1)
    known(packed, x, padding=(1, 1))
    known(packed, x, np.zeros(8, np.float32), padding=1)
    with pytest.raises(error):
        call(x, packed)


def test_rank_is_part_of_a_call():
    packed = convkit.pack_filters(np.ones((2, 3, 4), np.float32))
    x = np.ones((1, 5, 4), np.float32)
    for _ in range(2):
        assert convkit.conv1d(x, packed, layout=None).shape == (1, 3, 2)
    with pytest.raises(ValueError, match="conv2d"):
        convkit.conv2d(x, packed, layout=None)


# --- out ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 40])
@pytest.mark.parametrize("biased", [False, True])
def test_a_repeated_call_writes_to_out(size, biased):
    packed, b, out = convkit.pack_filters(filters()), images(8) if biased else None, images(1, size, size, 8, seed=3)
    known(packed, images(1, size, size, 8), b, padding=1, out=out)
    for seed in range(3):
        x, before = images(1, size, size, 8, seed=seed), packed.calls.count
        assert convkit.conv2d(x, packed, b, padding=1, out=out) is out
        assert packed.calls.count == before + 1
        assert_same_bits(out, convkit.conv2d(x, filters(), b, padding=1))


def test_out_may_overlap_what_a_repeated_call_reads():
    memory, w = np.zeros(2 * 8 * 8 * 8, np.float32), convkit.pack_filters(filters())
    x = memory[:512].reshape(1, 8, 8, 8)
    known(w, x, padding=1)
    for start in (0, 8, 504):
        x[...] = images(1, 8, 8, 8)
        want, out = convkit.conv2d(np.array(x), filters(), padding=1), memory[start : start + 512].reshape(1, 8, 8, 8)
        assert convkit.conv2d(x, w, padding=1, out=out) is out
        assert_same_bits(out, want)


def test_out_may_be_the_filters_themselves():
    packed, x = convkit.pack_filters(filters(8, 8, (8, 8))), images(1, 15, 15, 8)
    want = known(packed, x)
    before = packed.calls.count
    assert packed.w.size > want.size
    out = packed.w.reshape(-1)[: want.size].reshape(want.shape)
    assert_same_bits(convkit.conv2d(x, packed, out=out), want)
    assert packed.calls.count == before


OUTS = [
    (TypeError, lambda y: y.astype(np.float64)),
    (TypeError, lambda y: y.tolist()),
    (ValueError, lambda y: y[:, :7]),
    (ValueError, lambda y: np.broadcast_to(y[:, :1], y.shape)),
    (ValueError, lambda y: np.frombuffer(y.tobytes(), y.dtype).reshape(y.shape)),
]


@pytest.mark.parametrize(("error", "make"), OUTS)
def test_a_wrong_out_after_a_right_one_is_refused(error, make):
    x, packed = images(1, 8, 8, 8), convkit.pack_filters(filters())
    y = known(packed, x, padding=1)
    known(packed, x, padding=1, out=y)
    with pytest.raises(error):
        convkit.conv2d(x, packed, padding=1, out=make(y))


@pytest.mark.parametrize("make", [lambda y: y[..., ::-1], np.asfortranarray, lambda y: y.swapaxes(1, 2)])
def test_an_unusual_out_after_a_usual_one(make):
    x, packed = images(1, 8, 8, 8), convkit.pack_filters(filters())
    y = known(packed, x, padding=1)
    known(packed, x, padding=1, out=np.empty_like(y))
    out = make(np.empty_like(y))
    assert convkit.conv2d(x, packed, padding=1, out=out) is out
    assert_same_bits(np.ascontiguousarray(out), y)


# --- pooling --------------------------------------------------------------------------------------------------------------


def pooled(dtype, size, threads):
    """The ops by name: a function of a seed, with the result that NumPy gives for windows of 2x2 that share nothing."""

    def split(seed):
        x = images(2, size, size, 5, dtype=dtype, seed=seed)
        return x, x.reshape(2, size // 2, 2, size // 2, 2, 5)

    def maximum(seed):
        x, parts = split(seed)
        return convkit.max_pool2d(x, 2, threads=threads), parts.max((2, 4))

    def mean(seed):
        x, parts = split(seed)
        return convkit.avg_pool2d(x, 2, threads=threads), parts.astype(np.float64).mean((2, 4)).astype(dtype)

    def maximum_grad(seed):
        (x, parts), dy = split(seed), images(2, size // 2, size // 2, 5, dtype=dtype, seed=seed + 10)
        chosen = parts == parts.max((2, 4), keepdims=True)
        want = (chosen * dy[:, :, None, :, None]).reshape(x.shape)
        return convkit.max_pool2d_grad(dy, x, 2, threads=threads), want.astype(dtype)

    def mean_grad(seed):
        dy = images(2, size // 2, size // 2, 5, dtype=dtype, seed=seed)
        want = np.repeat(np.repeat(dy / dtype(4), 2, 1), 2, 2)
        return convkit.avg_pool2d_grad(dy, (2, size, size, 5), 2, threads=threads), want

    return {"max": maximum, "avg": mean, "max_grad": maximum_grad, "avg_grad": mean_grad}


@pytest.mark.parametrize("op", ["max", "avg", "max_grad", "avg_grad"])
@pytest.mark.parametrize("size", [6, 80])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [None, 2])
def test_repeated_pooling(op, size, dtype, threads, isa):
    run, before = pooled(dtype, size, threads)[op], pooling.CALLS.count
    results = [run(seed) for seed in range(3)]
    assert pooling.CALLS.count >= before + 2
    for y, want in results:
        assert y.dtype == dtype
        np.testing.assert_allclose(y, want, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)


def test_repeated_pooling_of_integers_and_into_out():
    for dtype in (np.uint8, np.int16, np.int64, bool):
        x = np.random.default_rng(1).integers(0, 2 if dtype is bool else 100, (1, 6, 6, 3)).astype(dtype)
        want, out = x.reshape(1, 3, 2, 3, 2, 3).max((2, 4)), np.empty((1, 3, 3, 3), dtype)
        for _ in range(3):
            assert convkit.max_pool2d(x, 2, out=out) is out
            np.testing.assert_array_equal(out, want)
            np.testing.assert_array_equal(convkit.max_pool2d(x, 2), want)


POOL_WRONG = [
    (TypeError, lambda x: convkit.avg_pool2d(x.astype(np.int32), 2)),
    (TypeError, lambda x: convkit.avg_pool2d(x, 2.0)),
    (TypeError, lambda x: convkit.avg_pool2d(x, True)),
    (TypeError, lambda x: convkit.avg_pool2d(x, 2, ceil_mode=1)),
    (ValueError, lambda x: convkit.avg_pool2d(x[0], 2)),
    (ValueError, lambda x: convkit.avg_pool2d(x, 2, out=np.empty((1, 4, 4, 7), np.float32))),
    (ValueError, lambda x: convkit.avg_pool2d_grad(x, (1, 8, 8, 8), 2)),
]


@pytest.mark.parametrize(("error", "call"), POOL_WRONG)
def test_wrong_pooling_after_right_pooling_is_refused(error, call):
    x = images(1, 8, 8, 8)
    for _ in range(2):
        convkit.avg_pool2d_grad(convkit.avg_pool2d(x, 2), x.shape, 2)
    with pytest.raises(error):
        call(x)


# --------------------------------------------------------------------------------------------------------------------------


def test_a_list_that_changes_is_read_each_time():
    packed, x, stride = convkit.pack_filters(filters()), images(1, 8, 8, 8), [1, 1]
    convkit.conv2d(x, packed, stride=stride)
    stride[0] = 2
    assert convkit.conv2d(x, packed, stride=stride).shape == (1, 3, 6, 8)


def test_the_instruction_set_and_the_accuracy_are_part_of_a_call():
    packed, x, before = convkit.pack_filters(filters()), np.full((1, 8, 8, 8), 1e-39, np.float32), convkit.isa()
    try:
        for name in (*cpu.isas(), *cpu.isas()):
            cpu.use_isa(name)
            assert not known(packed, x).any()
            with convkit.accuracy("strict"):
                assert known(packed, x).any()
    finally:
        cpu.use_isa(before)


def test_few_calls_are_kept():
    packed = convkit.pack_filters(filters())
    for n in range(200):
        known(packed, np.ones((1, 3 + n % 40, 4, 8), np.float32))
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(400):
            convkit.conv2d(np.ones((1, 3 + n % 40, 4, 8), np.float32), packed)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 300_000                               # eight calls and the plans of 40 shapes


def test_a_copy_of_packed_filters_works():
    packed, x = convkit.pack_filters(filters()), images(1, 8, 8, 8)
    y = known(packed, x)
    for other in (copy.copy(packed), copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert_same_bits(known(other, x), y)


def test_many_threads_of_python_at_once():
    w, shapes = filters(), [(1, 4 + n % 12, 5, 8) for n in range(24)]
    packed, wrong = convkit.pack_filters(w), []
    xs = [images(*shape, seed=i) for i, shape in enumerate(shapes)]
    want = [convkit.conv2d(x, w, padding=1) for x in xs]

    def work(start):
        for i in range(start, start + 300):
            if not np.array_equal(convkit.conv2d(xs[i % 24], packed, padding=1), want[i % 24]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(5 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
