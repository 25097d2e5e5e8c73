"""The command line: convkit demo, train, predict, info, bench."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


TRAIN_ABOUT = """\
Learn to tell images apart, from

  a folder with one subfolder of images (PNG, JPEG, ...) per class,
  a folder with the files of MNIST, Fashion-MNIST or EMNIST (train-images-..., t10k-images-...),
  an IDX file of images and the one of their labels, plain or .gz (IMAGES [LABELS]), or
  an .npz file that holds x_train and y_train, x and y, images and labels, or data and target.

It writes the model, the figures of each epoch and pictures of what it learnt; convkit predict names images by it.
"""
TRAIN_EXAMPLES = """\
examples:
  convkit train photos --model resnet20 --size 32 --epochs 50 --augment flip,shift,cutout
  convkit train fashion-mnist/ --model lenet --batch-size 64 --optimizer sgd --schedule one-cycle
  convkit train digits.npz --out runs/mine --patience 5
  convkit train --resume runs/mine
"""
MODEL_HELP = "small (default), lenet, resnet18, resnet20, resnet50, vgg16 or mobilenet_v2"
AUGMENT_HELP = (
    "random changes, between commas: flip, vflip, shift, rotate, scale, brightness, contrast, noise, cutout, mixup, each "
    "with a number of its own if you like, as in rotate=10; or none (shift)"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"convkit: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; by default what it was called with.

    Returns
    -------
    int
        0 if all went well, 2 after an error that the caller can mend (one line on the standard error),
        130 after Ctrl-C.

    Examples
    --------
    >>> from convkit.cli import main
    >>> main(["predict", "no-model", "no-image.png"])
    2
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a file name need not fit the terminal's encoding
    parser = _parser()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    given = argparse.Namespace(run=_bench, rest=arguments[1:]) if arguments[:1] == ["bench"] else parser.parse_args(arguments)
    if given.run is None:
        parser.print_help()
        return 0
    try:
        code = given.run(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nconvkit: stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe left; what is still buffered must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError, MemoryError) as error:
        print(f"convkit: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return code or 0


def _one_line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory ({error})" if str(error) else "not enough memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="convkit", description="Fast convolution for NumPy. Start with: convkit demo")
    parser.add_argument("--version", action=_Version, nargs=0, dest=argparse.SUPPRESS, help="print the version and exit")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    _add_demo(commands)
    _add_train(commands)
    _add_predict(commands)
    info = commands.add_parser("info", help="tell what was built, what the CPU offers and what runs")
    info.set_defaults(run=_info)
    commands.add_parser("bench", help="measure convkit and other libraries on this machine", add_help=False)
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:
    text = "Learn to read handwritten digits that ship with convkit, in seconds, and draw how the network does it."
    parser = commands.add_parser("demo", help="learn to read handwritten digits, in seconds", description=text)
    parser.add_argument("--out", metavar="DIR", help="folder to write into, new or empty (runs/digits-DATE-TIME)")
    parser.add_argument("--epochs", type=_whole(1, 1 << 20), default=30, metavar="N", help="times through the images (30)")
    parser.add_argument("--seed", type=_whole(0, 1 << 63), default=0, metavar="N", help="choose all random numbers (0)")
    parser.add_argument("--threads", type=_whole(1, 1 << 20), default=1, metavar="N", help="threads to compute with (1)")
    parser.set_defaults(run=_demo)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train", help="learn from images", description=TRAIN_ABOUT, epilog=TRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("source", metavar="SOURCE", nargs="*", help="folder, IDX file(s) or .npz file, as told above")
    data = parser.add_argument_group("data")
    data.add_argument("--size", type=_whole(1, 4096), metavar="N", help="bring images to N x N pixels (own size, up to 64)")
    colour = data.add_mutually_exclusive_group()
    colour.add_argument("--grey", dest="colour", action="store_const", const="grey", help="read images as grey")
    colour.add_argument("--rgb", dest="colour", action="store_const", const="rgb", help="read images as RGB (grey if all are)")
    data.add_argument(
        "--validation", type=_share, metavar="S", help="share of each class to hold out (0.2), where there are no test images"
    )
    data.add_argument("--augment", metavar="LIST", help=AUGMENT_HELP)
    network = parser.add_argument_group("network and training")
    network.add_argument("--model", dest="network", metavar="NAME", help=MODEL_HELP)
    network.add_argument("--epochs", type=_whole(1, 1 << 20), metavar="N", help="times through the images (30)")
    network.add_argument("--batch-size", type=_whole(1, 1 << 20), metavar="N", help="images per step (16)")
    network.add_argument("--optimizer", metavar="NAME", help="sgd, rmsprop, adam (default), adamw, nadam, lion, lamb")
    rates = "learning rate at the start (0.002; 0.05 for sgd, 0.001 for rmsprop, 0.0003 for lion)"
    network.add_argument("--learning-rate", type=_positive, metavar="R", help=rates)
    schedules = "how the rate goes on: constant, step, exponential, cosine (default), one-cycle, plateau"
    network.add_argument("--schedule", metavar="NAME", help=schedules)
    network.add_argument("--weight-decay", type=_positive, metavar="W", help="pull weights towards zero (0)")
    patience = "stop when the loss of held-out images has not fallen for N epochs, and keep the best weights (never)"
    network.add_argument("--patience", type=_whole(1, 1 << 20), metavar="N", help=patience)
    run = parser.add_argument_group("run")
    run.add_argument("--out", metavar="DIR", help="folder to write into, new or empty (runs/train-DATE-TIME)")
    run.add_argument("--resume", metavar="DIR", help="go on with the run in DIR that was stopped; takes its options from there")
    run.add_argument("--seed", type=_whole(0, 1 << 63), metavar="N", help="choose all random numbers (0)")
    run.add_argument("--threads", type=_whole(1, 1 << 20), metavar="N", help="threads to compute with (all cores)")
    parser.set_defaults(run=_train, error=parser.error)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    text = "Name the class of images by a model that convkit demo or convkit train wrote."
    parser = commands.add_parser("predict", help="name the class of images", description=text)
    parser.add_argument("model", metavar="MODEL", help="model.safetensors with its classes.json beside it, or their folder")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image files (PNG, JPEG, ...)")
    parser.add_argument("--invert", action="store_true", help="exchange dark and bright: for dark ink on light paper")
    parser.add_argument("--json", action="store_true", help="print JSON with the probabilities of all classes")
    parser.set_defaults(run=_predict)


def _demo(given: argparse.Namespace) -> None:
    from convkit.apps.demo import demo

    demo(out=given.out, epochs=given.epochs, seed=given.seed, threads=given.threads)


def _train(given: argparse.Namespace) -> None:
    from convkit.apps.train import resume, train

    told = {key: value for key, value in vars(given).items() if key not in ("run", "error") and value not in (None, [])}
    if given.resume is not None:
        more = sorted(told.keys() - {"resume", "threads"})
        if more:
            given.error(f"--resume takes all options but --threads from the run; leave out {', '.join(more)}")
        resume(given.resume, threads=given.threads)
        return
    if not given.source:
        given.error("the following arguments are required: SOURCE (or --resume DIR)")
    train(told.pop("source"), **told)


def _predict(given: argparse.Namespace) -> None:
    from convkit.apps.predict import as_json, as_table, predict

    classes, probabilities = predict(given.model, given.images, invert=given.invert)
    print((as_json if given.json else as_table)(given.images, classes, probabilities))


def _info(given: argparse.Namespace) -> None:
    import convkit

    convkit.show_config()


def _bench(given: argparse.Namespace) -> int:
    """The benchmarks have options of their own. They are in the source, not in the wheel, which they would make too large."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "benchmarks" / "__main__.py").is_file():
        raise ValueError(
            'bench: the benchmarks come with the source; in a copy of the repository, pip install -e ".[bench]" and then '
            "convkit bench"
        )
    sys.path.append(str(root))
    from benchmarks.__main__ import main as bench

    return bench(given.rest)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from convkit._version import __version__

        print("convkit", __version__)
        parser.exit(0)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """An argparse type: a whole number within bounds."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"wanted a whole number, got {text!r}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"wanted {least} to {most}, got {value}")
        return value

    return convert


def _positive(text: str) -> float:
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"wanted a number over 0, got {text}")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"wanted a share over 0 and under 1, got {text}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted a number, got {text!r}") from None
