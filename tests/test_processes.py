"""Forks, Python threads, memory over many calls, and the floating-point mode. Each runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from convkit.ops import conv

SETUP = """
import hashlib, os, sys, threading
import numpy as np
import convkit

rng = np.random.default_rng(0)
x = rng.standard_normal((6, 40, 41, 24)).astype(np.float32)
w = rng.standard_normal((40, 3, 3, 24)).astype(np.float32)
dy = rng.standard_normal((6, 40, 41, 40)).astype(np.float32)

def work(threads=None):
    results = [convkit.conv2d(x, w, padding=1, threads=threads), *convkit.conv2d_grad(dy, x, w, padding=1, threads=threads),
               convkit.max_pool2d(x, 2, threads=threads), convkit.avg_pool2d(x, 3, padding=1, threads=threads),
               convkit.max_pool2d_grad(convkit.max_pool2d(x, 2), x, 2, threads=threads)]
    digest = hashlib.sha256()
    for result in results:
        digest.update(result.tobytes())
    return digest.hexdigest()

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def run(program: str, seconds: int = 120, **environment: str) -> str:
    """The output of a Python program; the timeout is only there to end a hang."""
    ended = subprocess.run([sys.executable, "-c", SETUP + program], env={**os.environ, **environment}, capture_output=True,
                           text=True, timeout=seconds)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_after_a_parallel_call_works_and_gives_the_same_bits():
    """libgomp hangs if a child opens a parallel region after its parent did."""
    program = """
want = work(threads=2)
for round in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work() == want and work(threads=2) == want else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "a child has other bits"
    assert work(threads=2) == want
print("done")
"""
    assert run(program, OMP_NUM_THREADS="2") == "done"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_may_fork_again_and_use_multiprocessing():
    program = """
import multiprocessing
want = work(threads=2)
def task(_):
    return work(threads=2) == want
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(task, range(6)))
pid = os.fork()
if pid == 0:
    inner = os.fork()
    if inner == 0:
        os._exit(0 if work(threads=2) == want else 7)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
print("done")
"""
    assert run(program) == "done"


def test_several_python_threads_at_once_give_the_bits_of_one():
    program = """
want, wrong = work(threads=1), []
def repeat(number):
    for i in range(6):
        if work(threads=(None, 1, 2, 3)[(number + i) % 4]) != want:
            wrong.append((number, i))
workers = [threading.Thread(target=repeat, args=(n,)) for n in range(16)]
[t.start() for t in workers]
[t.join() for t in workers]
print("wrong", wrong)
"""
    assert run(program) == "wrong []"


INTERRUPT = """
import signal, time

def now():
    "The processor's time of the thread that calls, where that can be asked: other work on the machine is no delay."
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.perf_counter()
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident))

def seconds_to_interrupt(call):
    sent = []
    def send():
        sent.append(now())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(0.1, send).start()
    try:
        call()
    except KeyboardInterrupt:
        return now() - sent[0]
    raise AssertionError("the call was not interrupted")
"""

# One image, which stands for a batch, and filters: calls of every pass that take seconds if nobody stops them.
LONG = {
    "direct": (1, (512, 512, 32), (32, 31, 31, 32), 1),
    "im2col": (1, (512, 512, 32), (32, 31, 31, 32), 1),
    "fft": (8, (512, 512, 32), (32, 31, 31, 32), 1),
    "winograd": (400, (14, 14, 512), (512, 3, 3, 512), 1),
    "winograd2": (400, (14, 14, 512), (512, 3, 3, 512), 1),
    "depthwise": (4, (512, 512, 32), (32, 63, 63, 1), 32),
    "grouped": (2, (512, 512, 32), (32, 31, 31, 4), 8),
    "first": (4, (512, 512, 4), (32, 31, 31, 4), 1),
    "few": (4, (512, 512, 32), (4, 31, 31, 32), 1),
}


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to itself")
@pytest.mark.parametrize("algorithm", conv.ALGORITHMS[1:])
def test_ctrl_c_ends_a_long_call_within_half_a_second_and_leaves_a_working_state(algorithm):
    program = f"""
want, (batch, image, filters, groups) = work(), {LONG[algorithm]}
how = dict(groups=groups, algorithm={algorithm!r})
image = np.broadcast_to(np.ones(image, np.float32), (batch, *image))
shape, filters = convkit.conv_output_shape(image.shape, filters, groups=groups), np.ones(filters, np.float32)
given = np.broadcast_to(np.ones(shape[1:], np.float32), shape)
took = dict()
for threads in (1, 2):
    took["y", threads] = seconds_to_interrupt(lambda: convkit.conv2d(image, filters, threads=threads, **how))
    for needs in ("x", "w"):
        if needs == "x" or how["algorithm"] not in ("fft", "few"):
            took[needs, threads] = seconds_to_interrupt(
                lambda: convkit.conv2d_grad(given, image, filters, needs=(needs,), threads=threads, **how))
    assert max(took.values()) < 0.5, took
    assert work(threads=threads) == want
print("done")
"""
    assert run(INTERRUPT + program) == "done"


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to itself")
def test_ctrl_c_ends_long_pooling_within_half_a_second():
    program = """
image = np.ones((1, 1024, 1024, 32), np.float32)
for threads in (1, 2):
    for pool in (convkit.max_pool2d, convkit.avg_pool2d):
        took = seconds_to_interrupt(lambda: pool(image, 450, stride=1, threads=threads))
        assert took < 0.5, took
print("done")
"""
    assert run(INTERRUPT + program) == "done"


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to itself")
def test_a_handler_that_does_not_raise_runs_and_the_call_goes_on():
    program = """
import signal
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
image, filters = np.ones((1, 300, 300, 32), np.float32), np.ones((32, 9, 9, 32), np.float32)
want = convkit.conv2d(image, filters, algorithm="direct")
with convkit.threads(1):
    while not seen:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert (convkit.conv2d(image, filters, algorithm="direct") == want).all()
print("done")
"""
    assert run(program) == "done"


def test_two_processes_give_the_same_bits():
    """With other hash seeds, other addresses and another number of threads."""
    outputs = {run("print(work())", PYTHONHASHSEED=str(n), CONVKIT_NUM_THREADS=str(n)) for n in (1, 2, 3)}
    assert len(outputs) == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_does_not_grow_over_random_shapes():
    """A cache for each shape, or a leaked buffer, would show: once the heap has its shape, 4,000 rounds may not keep 1 MiB."""
    program = """
def call(i):
    h, width, c, o, k = (int(n) for n in rng.integers(4, 24, 5))
    k = k % 3 + 1
    image, filters = np.ones((2, h, width, c), np.float32), np.ones((o, k, k, c), np.float32)
    with convkit.threads(2 if i % 16 == 0 else 1):
        y = convkit.conv2d(image, filters, padding="same")
        convkit.conv2d_grad(y, image, filters, padding="same")
        convkit.max_pool2d_grad(convkit.max_pool2d(image, 2), image, 2)
        convkit.avg_pool2d(image, 2)
for i in range(5000):
    call(i)
before = resident()
for i in range(4000):
    call(i)
print((resident() - before) // 1024)
"""
    assert int(run(program)) <= 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_does_not_grow_over_failed_calls():
    program = """
def fail():
    for how in (dict(stride=0), dict(out=np.zeros(3, np.float32)), dict(groups=5), dict(padding=2**61)):
        try:
            convkit.conv2d(x, w, **how)
        except ValueError:
            pass
for i in range(200):
    fail()
before = resident()
for i in range(2000):
    fail()
print((resident() - before) // 1024)
"""
    assert int(run(program)) <= 1024


def test_the_floating_point_mode_is_left_as_found():
    """Subnormal numbers exist in the caller's threads after import and after parallel calls, in new threads too."""
    program = """
seen = []
def subnormal():
    halves = np.full(9, 1e-310) * 0.5, np.full(9, 1e-40, np.float32) * np.float32(0.5)
    seen.append(all((half > 0).all() for half in halves))
subnormal()
for threads in (1, 2):
    work(threads=threads)
    subnormal()
    other = threading.Thread(target=subnormal)
    other.start()
    other.join()
print(all(seen), len(seen))
"""
    assert run(program) == "True 5"


def test_the_environment_sets_the_threads_and_the_instruction_set():
    assert run("print(convkit.isa())", CONVKIT_ISA="generic") == "generic"
    program = """
work()
print(len(os.listdir("/proc/self/task")))
"""
    if os.path.isdir("/proc/self/task"):
        assert int(run(program, CONVKIT_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")) == 1


@pytest.mark.parametrize(
    ("given", "count"), [({}, "1000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "passive"}, "0")])
def test_idle_threads_spin_shortly_unless_the_environment_says_how_long(given, count):
    program = """
before = dict(os.environ)
import convkit
assert dict(os.environ) == before
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    ended = subprocess.run([sys.executable, "-c", "import os" + program], text=True, capture_output=True, timeout=120,
                           env={**environment, **given, "OMP_DISPLAY_ENV": "verbose"})
    assert ended.returncode == 0, ended.stderr[-3000:]
    if "GOMP_SPINCOUNT" in ended.stderr:                # GNU's OpenMP says what it has read
        assert f"GOMP_SPINCOUNT = '{count}'" in ended.stderr


@pytest.mark.parametrize("value", ["0", "-1", "abc", ""])
def test_a_wrong_number_of_threads_in_the_environment_is_no_reason_to_fail(value):
    assert run("print(len(work()))", CONVKIT_NUM_THREADS=value) == "64"
