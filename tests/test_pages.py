"""Memory that training steps hand on: never what somebody still looks at, and not for ever."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import convkit
from convkit.layers import Conv2D, Dense, Flatten, ReLU
from convkit.ops import check, pages

LARGE = (pages.LEAST,)                                  # elements


def made():
    return check.empty(LARGE, np.float32, "test")


def address(array):
    return array.__array_interface__["data"][0]


def test_an_array_that_lives_is_nobody_elses_and_a_dead_one_comes_back():
    mine = pages.Pages()
    with mine.used(new_step=True):
        first, second = made(), made()
        assert not np.may_share_memory(first, second)
        part, was = first[7:9], address(first)
        del first
        assert not np.may_share_memory(made(), part)    # a view keeps all of it
        del part
        assert was in {address(made()) for _ in range(3)}
    assert pages.current() is None


def test_zeros_are_zeros():
    mine = pages.Pages()
    with mine.used():
        made().fill(7)
        zeros = check.empty(LARGE, np.float32, "test", zeros=True)
    assert not zeros.any()


def test_what_lies_idle_is_given_back():
    mine = pages.Pages()
    for step in range(pages.IDLE + 2):
        with mine.used(new_step=True):
            if step == 0:
                made()
            assert bool(mine.held()) == (step <= pages.IDLE)


def test_neighbours_that_died_make_room_for_a_larger_one_and_chunks_become_one():
    mine, size = pages.Pages(), pages.FIRST // 4
    with mine.used(new_step=True):
        small = [mine.take(size) for _ in range(3)]
        held = mine.held()
        del small[:2]
        larger = mine.take(2 * size)
        assert mine.held() == held
        assert not np.may_share_memory(larger, small[0])
        more = [mine.take(size) for _ in range(3)]
        assert mine.held() == 6 * size
    del small, larger, more
    for _ in range(2):
        with mine.used(new_step=True):
            kept = [mine.take(size) for _ in range(6)]
            starts = sorted(address(block) for block in kept)
            assert starts == list(range(starts[0], starts[0] + 6 * size, size))
            assert mine.held() == 6 * size
        del kept


def test_a_block_within_another_changes_nothing_and_threads_and_copies_are_apart():
    outer, inner = pages.Pages(), pages.Pages()
    seen = []
    with outer.used():
        with inner.used(new_step=True):
            made()
        thread = threading.Thread(target=lambda: seen.append(pages.current()))
        thread.start()
        thread.join()
        assert pages.current() is outer
    assert (outer.held() > 0, inner.held(), seen) == (True, 0, [None])
    for clone in (copy.deepcopy(outer), pickle.loads(pickle.dumps(outer))):
        assert not clone.held()


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_that_hand_memory_on_give_the_numbers_of_steps_that_do_not(threads, rng, monkeypatch):
    x, dy = rng.standard_normal((8, 24, 24, 8), dtype=np.float32), rng.standard_normal((8, 4), dtype=np.float32)

    def run():
        model = convkit.Sequential([Conv2D(16, 3), ReLU(), Conv2D(16, 3), ReLU(), Flatten(), Dense(4)], rng=0,
                                   input_shape=(24, 24, 8))  # fmt: skip
        results = []
        with convkit.threads(threads):
            for _ in range(3):
                y, backward = model.forward(x, training=True)
                results += [y, backward(dy)]
        return results + [param.grad for param in model.params.values()], model

    again, model = run()
    assert model.pages.held()
    monkeypatch.setattr(pages, "LEAST", 1 << 60)
    for got, want in zip(again, run()[0], strict=True):
        np.testing.assert_array_equal(got, want)


def test_fit_gives_its_memory_back(rng):
    model = convkit.Sequential([Conv2D(16, 3), Flatten(), Dense(2)], rng=0)
    model.fit(rng.standard_normal((64, 16, 16, 8), dtype=np.float32), np.arange(64) % 2, batch_size=32, verbose=0)
    assert not model.pages.held()
    model.forward(rng.standard_normal((32, 16, 16, 8), dtype=np.float32), training=True)
    assert model.pages.held()
