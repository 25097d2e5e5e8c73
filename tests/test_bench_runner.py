"""The runner of the benchmark suite: what it times and keeps, its options, and short runs of it."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from bench_rows import ROOT, result, row

from benchmarks import definition, machine, measure, options, processes, report, run, shapes


class Peer:
    """A library whose results and times are made up."""

    threads, facts = 1, {"isa": None}

    def __init__(self, name: str, factor: float = 1.0, seconds: float = 1.0, error: str = "") -> None:
        self.library = self.label = name
        self.factor, self.seconds, self.error, self.asked = factor, seconds, error, 0

    def ask(self, do: str, **request) -> dict:
        if do == "time":
            self.asked += 1
            return {"best": self.seconds, "median": self.seconds, "runs": 3, "cost": 1.0, "peak": 1.0}
        if do in ("peak", "copy"):
            return {"rate": 1.0}
        if self.error:
            return {self.error: "because"}
        truth = definition.define(shapes.from_json(request["case"]), request["what"], request["dtype"])
        np.save(request["file"], truth[..., :-1] if self.factor == 0 else truth * self.factor)
        return {}


CASE = shapes.Conv("3x3", 1, (6, 6), 2, 3, (3, 3), padding=1, suite="random")


def measured(*peers: Peer, rounds=4, doubt=None, quick=False) -> dict[str, dict]:
    how = argparse.Namespace(rounds=rounds, seconds=0.0, doubt=doubt, quick=quick)
    rows = measure.measure([Peer("convkit"), *peers], Peer("definition"), CASE, "dx", "float32", how)
    return {entry["library"]: entry for entry in rows}


def test_only_right_results_are_timed():
    bad = Peer("wrong", 1.001), Peer("short", 0), Peer("crash", error="error"), Peer("none", error="absent")
    rows = measured(*bad, Peer("fine"))
    assert [rows[peer.label]["status"] for peer in bad] == ["differs", "differs", "failed", "absent"]
    assert [name for name, entry in rows.items() if entry["samples"]] == ["convkit", "fine"]
    assert rows["crash"]["note"] == rows["none"]["note"] == "because"


def test_nothing_is_timed_where_there_is_no_definition():
    how = argparse.Namespace(rounds=2, seconds=0.0, doubt=None, quick=True)
    rows = measure.measure([Peer("convkit")], Peer("definition", error="error"), CASE, "dx", "float32", how)
    assert [(entry["status"], entry["samples"]) for entry in rows] == [("failed", [])]
    assert "because" in rows[0]["note"]


def test_a_peer_that_is_far_behind_is_timed_once_and_convkit_always():
    rows = measured(Peer("fast", seconds=0.1), Peer("near", seconds=0.2), Peer("far", seconds=0.3))
    assert {name: len(entry["samples"]) for name, entry in rows.items()} == {"convkit": 4, "fast": 4, "near": 4, "far": 1}


def test_rounds_are_added_where_the_ratio_is_in_doubt_and_a_row_that_stays_wide_is_marked():
    class Wavering(Peer):
        def ask(self, do, **request):
            self.seconds = (0.8, 1.0)[self.asked % 2]
            return super().ask(do, **request)

    rows = measured(Wavering("peer"))
    assert len(rows["peer"]["samples"]) == 12
    assert rows["convkit"]["wide"]
    assert len(measured(Wavering("peer"), quick=True)["peer"]["samples"]) == 4
    rows = measured(Peer("peer"), doubt=0.9)
    assert len(rows["peer"]["samples"]) == 4
    assert not rows["convkit"]["wide"]
    assert len(measured(Peer("peer", seconds=0.9), doubt=0.9)["peer"]["samples"]) == 4


def test_a_run_is_kept_and_continued_only_by_the_same_commit(tmp_path, monkeypatch):
    file, found = tmp_path / "run.json", result(row(layer=CASE.name, what="dx"))
    monkeypatch.setattr(run.machine, "commit", lambda: "none")
    args = argparse.Namespace(json=str(file), save=None, resume=True, budget=None)
    assert run.begun(args)["results"] == []
    run.Clock(args, found).save()
    assert run.begun(args) == found
    passes = [(CASE, "dx", "float32"), (CASE, "dw", "float32"), (replace(CASE, suite="conv"), "dx", "float32")]
    assert run.missing(found, passes, 1) == passes[1:]
    assert run.missing(found, passes, 2) == passes
    monkeypatch.setattr(run.machine, "commit", lambda: "another")
    with pytest.raises(SystemExit, match="commit none"):
        run.begun(args)


def test_what_was_measured_survives_an_interruption(tmp_path, monkeypatch, capsys):
    def interrupted(found, *_):
        found["head"] = {"commit": "none"}
        found["results"].append(row(share=0.5))
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "measure_all", interrupted)
    file, parser = tmp_path / "run.json", argparse.ArgumentParser()
    options.add_arguments(parser)
    given = ["--suite", "random", "--what", "fwd", "--count", "3", "--json", str(file)]
    assert run.main(parser.parse_args(given)) == 0
    assert len(json.loads(file.read_text())["results"]) == 1
    printed = capsys.readouterr()
    assert "interrupted" in printed.err
    assert "measured 0 of 3 passes" in printed.out
    assert list(tmp_path.iterdir()) == [file]


def command(*arguments: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "0.001", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_short_run_of_random_shapes_and_its_continuation(tmp_path):
    file = tmp_path / "run.json"
    common = ["--suite", "random", "--what", "fwd,dw", "--peers", "none", "--json", str(file), "--resume"]
    done = command(*common, "--count", "1")
    assert done.returncode == 0, done.stderr
    first = json.loads(file.read_text())["results"]
    assert [entry["what"] for entry in first] == ["fwd", "dw"]
    assert all(entry["status"] == "ok" and entry["fraction_median"] > 0 and entry["algorithm"] for entry in first)
    assert command(*common, "--count", "2").returncode == 0
    both = json.loads(file.read_text())["results"]
    assert both[:2] == first
    assert len(both) == 4


def test_algorithms_are_measured_against_each_other_and_those_that_cannot_run_are_absent():
    done = command("--suite", "algorithms", "--only", "3x3 8->16 @28 b16")
    assert done.returncode == 0, done.stderr
    head, line = re.search(r"^(layer .*)\n(3x3 .*)$", done.stdout, re.MULTILINE).groups()
    assert "winograd ms" in head
    assert "im2col ms" in head
    assert " - " in line                                # depthwise


def test_a_report_names_neither_folders_nor_files_by_their_paths():
    text = "No such file: '/home/me/x/lib.so' at 1/2 of 3x3 /a"
    assert processes.without_paths(text) == "No such file: 'lib.so' at 1/2 of 3x3 /a"
    typed = ["bench", "--suite", "conv", "--save", "/home/me/out", "--only", "3x3 64->64 @56 *"]
    assert machine.command(typed) == "convkit bench --suite conv --save out --only '3x3 64->64 @56 *'"


def test_a_library_that_is_not_installed_is_named_with_its_command(capsys):
    class Missing(Peer):
        def ask(self, do, **request):
            return {"error": "ModuleNotFoundError: No module named 'ncnn'"}

    found = result()
    assert not run.starts(Missing("ncnn"), found)
    assert "pip install ncnn" in found["missing"]["ncnn"]
    assert "convkit-numpy[bench]" in capsys.readouterr().err


@pytest.mark.parametrize("given", [
    ["--suite", "none"], ["--what", "up"], ["--peers", "someone"], ["--threads", "0"], ["--threads", "two"], ["--resume"],
    ["--suite", "conv,algorithms"], ["--dtype", "int8"],
], ids=" ".join)  # fmt: skip
def test_options_that_make_no_sense_are_refused_before_anything_starts(given):
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    with pytest.raises(SystemExit, match=given[0]):
        options.check(parser.parse_args(given))


def test_quick_takes_fewer_rounds_and_leaves_out_what_starts_slowly():
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    quick, full = (parser.parse_args(given) for given in (["--quick"], []))
    for args in (quick, full):
        options.check(args)
    assert quick.rounds < full.rounds
    assert "torch_compiled" in run.wanted(full, "ops")
    assert "torch_compiled" not in run.wanted(quick, "ops")
    assert run.wanted(parser.parse_args(["--peers", "none"]), "conv") == []
    assert run.wanted(parser.parse_args(["--peers", "ort"]), "conv") == ["ort"]


def test_a_file_that_is_no_report_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    for name in ("a.json", "none.json"):
        with pytest.raises(SystemExit, match="no report"):
            report.load(str(tmp_path / name))


def test_memory_is_told_by_library():
    done = command("--suite", "memory", "--quick", "--only", "1x1 512->128 @28 b4", "--peers", "numpy", "--what", "fwd")
    assert done.returncode == 0, done.stderr
    line = re.search(r"^1x1 512->128 .*fwd +(.*)$", done.stdout, re.MULTILINE)[1]
    of_result, convkit_mb, numpy_mb = map(float, line.split())
    assert of_result <= convkit_mb + 0.5                # megabytes that the allocator had
    assert convkit_mb < numpy_mb


def test_convkit_bench_runs_the_suite_beside_the_package():
    line = [sys.executable, "-m", "convkit", "bench", "--suite", "small", "--only", "relu 1x8x8x8", "--peers", "numpy",
            "--rounds", "1", "--seconds", "0.001"]  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "measured 2 of 2 passes" in done.stdout
