"""The benchmark suite: its shapes, its arithmetic, what it reports, and one short run of it."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)
sys.path.append(str(ROOT))                              # last: the convkit under test comes before that of the checkout

from benchmarks import (  # noqa: E402
    compare,
    definition,
    layers,
    measure,
    options,
    random_report,
    random_shapes,
    ratios,
    report,
    run,
    shapes,
    suites,
)

CASES = [*layers.CONV, *layers.POOL, *layers.OPS, *layers.MODELS, *layers.TRAIN, *layers.SMALL, *layers.SCALING, *layers.MEMORY]


def row(library="convkit", medians=(1.0,), share=None, **fields) -> dict:
    """A row as the runner writes it."""
    entry = {"suite": "random", "layer": "a", "family": "3x3", "what": "fwd", "dtype": "float32", "threads": 1, "work": 1,
             "library": library, "isa": "avx512", "status": "ok", "note": "", "unit": "FLOP", "source": ""}  # fmt: skip
    entry["samples"] = [{"best": m, "median": m, "runs": 3} for m in medians]
    if medians:
        entry |= {"median": float(np.median(medians)), "best": min(medians), "spread": 0.0}
    return entry | ({"fraction_median": share, "fraction_best": share} if share else {}) | fields


def result(*rows: dict) -> dict:
    return {"head": {"commit": "none"}, "missing": {}, "results": list(rows)}


# --- shapes ---------------------------------------------------------------------------------------------------------------


def test_random_shapes_follow_from_the_seed_and_are_ordinary():
    found = random_shapes.random_shapes(200, 2026)
    assert found[:60] == random_shapes.random_shapes(60, 2026)
    assert found != random_shapes.random_shapes(200, 2027)
    assert len({case.name for case in found}) == 200
    for case in found:
        work = case.work("fwd", 4)
        assert 1e5 <= work <= 1.5e9
        assert (case.family == "small") == (work < 2e6)
        assert min(case.out_spatial) >= 1
        assert case.channels % case.groups == case.filters % case.groups == 0
        assert case.batch * max(case.channels * prod(case.spatial), case.filters * prod(case.out_spatial)) <= 4e6


def test_random_shapes_cover_what_they_claim_to():
    found = random_shapes.random_shapes()
    assert {case.family for case in found} == {*random_shapes.CLASSES, "small"}
    assert {len(case.spatial) for case in found} == {1, 2, 3}
    assert {case.kernel for case in found} >= {(k, k) for k in (1, 3, 5, 7)}
    assert {case.stride for case in found} == {case.dilation for case in found} == {1, 2}
    assert any(len(set(case.spatial)) > 1 for case in found)
    assert sum(case.channels % 8 > 0 for case in found) > 20


@pytest.mark.parametrize("case", [*CASES, *random_shapes.random_shapes(20)], ids=lambda case: f"{case.suite} {case.name}")
def test_a_case_survives_json(case):
    assert shapes.from_json(json.loads(json.dumps(shapes.to_json(case)))) == case


def test_suites_hold_the_cases_of_their_name_and_patterns_choose_among_them():
    for suite in set(suites.SUITES) - {"startup"}:
        found = suites.cases([suite], [], 12, 1)
        assert found
        assert {case.suite for case in found} == {suite}
    assert {case.name for case in suites.cases(["algorithms"], [], 0, 0)} == set(suites.RIVALS)
    assert [case.batch for case in suites.cases(["conv"], ["3x3 64->64 @56 *"], 0, 0)] == [4, 1]
    assert suites.cases(["conv"], ["none such"], 0, 0) == []


def test_constants_of_the_plans_name_rows_that_can_be_run():
    names, quoted = {case.name for case in layers.CONV}, []
    for path in (ROOT / "convkit" / "plan").glob("*.py"):
        comments = " ".join(line.split("#", 1)[1].strip() for line in path.read_text().splitlines() if "#" in line)
        quoted += re.findall(r"`([^`]+->[^`]+)`", comments)
    assert quoted
    assert set(quoted) <= names


# --- arithmetic -----------------------------------------------------------------------------------------------------------


def test_the_interval_holds_the_median_nine_times_of_ten():
    rng, held = np.random.default_rng(0), 0
    for _ in range(300):
        low, high = ratios.interval(list(rng.lognormal(0.0, 0.1, 15)))
        held += low <= 1 <= high
    assert 0.84 <= held / 300 <= 0.97
    assert ratios.interval([2.0]) == (2.0, 2.0)
    assert ratios.interval([1.0, 2.0, 3.0]) == ratios.interval([1.0, 2.0, 3.0])


def test_the_ratio_is_taken_round_by_round_against_the_best_peer_that_was_not_given_up():
    ours = row(medians=(1.0, 2.0, 4.0))
    peers = {
        "good": row("good", (2.0, 4.0, 8.0)),
        "slower": row("slower", (3.0, 6.0, 9.0)),
        "given up": row("given up", (1.0,)),
        "wrong": row("wrong", (0.1, 0.1, 0.1), status="differs"),
    }
    assert ratios.best_peer(peers)["library"] == "good"
    assert ratios.rounds(ours, peers) == [2.0, 2.0, 2.0]
    assert ratios.ratio(ours, {"wrong": peers["wrong"]}) is None
    assert ratios.ratio(row(status="failed"), peers) is None


def test_a_pass_is_unsure_while_its_interval_is_wide_or_holds_the_limit():
    near = [row(medians=(1.0,) * 4), row("peer", (0.87, 0.88, 0.91, 0.92))]
    assert ratios.unsure(near, 0.9)
    assert not ratios.unsure(near, 0.8)
    assert not ratios.unsure(near, None)
    assert ratios.unsure([row(medians=(1.0,) * 4), row("peer", (0.8, 0.9, 1.0, 1.1))], None)
    assert ratios.unsure([row(medians=(1.0, 1.5, 1.0, 1.5))], None)
    assert not ratios.unsure([row(medians=(1.0, 1.01, 1.0, 1.01))], 0.9)
    assert not ratios.unsure([row(medians=(), status="failed")], 0.9)


def test_a_regression_is_what_the_noise_of_neither_run_explains():
    old, noisy = row(medians=(1.0, 1.02, 1.01, 1.0)), row(medians=(0.7, 1.0, 1.4, 1.0))
    slower, same = row(medians=(1.2, 1.22, 1.21, 1.2)), row(medians=(1.03, 1.05, 1.04, 1.02))
    assert compare.regressions(result(old), result(same)) == []
    assert compare.regressions(result(noisy), result(slower)) == []
    assert compare.regressions(result(slower), result(old)) == []
    assert compare.regressions(result(old), result(row("torch", (9.0,)))) == []
    (text,) = compare.regressions(result(old), result(slower))
    assert "random a fwd" in text
    assert "1.20 times the cost" in text
    (line,) = compare.compare(result(old), result(slower))[1]
    assert "slower" in line


def test_a_machine_that_was_slower_is_no_regression():
    def told(median, cost):
        entry = row(medians=(median,) * 3)
        entry["samples"] = [sample | {"cost": cost} for sample in entry["samples"]]
        return entry

    assert compare.regressions(result(told(1.0, 10.0)), result(told(1.5, 10.0))) == []
    assert len(compare.regressions(result(told(1.0, 10.0)), result(told(1.0, 15.0)))) == 1


# --- report ---------------------------------------------------------------------------------------------------------------

CLASS = [row(layer=name, share=0.6) for name in "abcd"]
PEER = [row("torch", (1.5,), layer=name) for name in "abcde"]


def test_slow_and_pathological_passes_are_listed_worst_first(capsys):
    cliff, worse = row(layer="e", share=0.15, algorithm="direct"), row(layer="f", share=0.05)
    slow, slower = row(layer="g", share=0.6), row(layer="h", share=0.6)
    found = result(*CLASS, *PEER, cliff, worse, slow, slower, row("torch", (0.8,), layer="g"), row("torch", (0.5,), layer="h"))
    passes = random_report.measured(found)
    assert [each.row["layer"] for each in random_report.slow(passes)] == ["h", "g"]
    assert [each.row["layer"] for each in random_report.pathological(passes)] == ["f", "e"]
    assert [each.fastest for each in random_report.slow(passes)] == [0.5, 0.8]
    random_report.show(found)
    printed = capsys.readouterr().out
    assert "2 of 7 passes are slower than 0.9 of the best peer" in printed
    assert "2 of 8 passes are below a third" in printed
    limits = argparse.Namespace(need_peak=None, need_ratio=None, need_ordinary=True)
    assert report.judge(found, limits) == 1
    assert report.judge(result(*CLASS, *PEER[:4]), limits) == 0


def test_classes_are_not_compared_with_each_other():
    others = [row(layer=name, family="depthwise", share=0.02) for name in "xyz"]
    assert random_report.pathological(random_report.measured(result(*CLASS, *others))) == []


def test_the_report_names_what_failed_and_what_is_missing(capsys):
    broken = row("ort", (), status="failed", note="died", suite="conv")
    found = result(row(suite="conv", share=0.5), broken)
    found["missing"]["ncnn"] = "pip install ncnn"
    report.show(found)
    printed = capsys.readouterr().out
    assert "ort: a fwd failed: died" in printed
    assert "not measured: ncnn: pip install ncnn" in printed


# --- the runner -----------------------------------------------------------------------------------------------------------


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


def test_the_page_holds_pictures_and_tables_and_fetches_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    cpu = {"1 threads": {"float32 GFLOP/s": 100.0, "copy of 64 MB GB/s": 20.0}}
    head = {"cpu": "a <cpu>", "commit": "none", "date": "2026-11-22", "versions": {"numpy": "2"}, "machine": cpu}
    slow = [row(layer="h", share=0.6), row("torch", (0.5,), layer="h")]
    layer = [row(suite="conv", layer="3x3 a", share=0.5, bytes=1), row("torch", (0.5,), suite="conv", layer="3x3 a")]
    sizes = [row(library, suite="scaling", family="batch", layer=f"3x3 64->64 @28 b{n}", threads=t)
             for library in ("convkit", "torch") for n in (1, 2) for t in (1, 2)]  # fmt: skip
    found = result(*CLASS, *PEER[:4], *slow, *layer, *sizes) | {"head": head, "startup": {"wheel MB": 1.9}}
    before = result(*layer[:1])
    report.save(found, tmp_path, before)
    text = (tmp_path / "report.html").read_text()
    titles = ["Ratio, conv", "Random shapes", "Roofline", "Scaling", "Threads", "Before and after"]
    assert text.count("<svg") == text.count("</svg>") == len(titles)
    assert "a &lt;cpu&gt;" in text
    assert "<a <cpu>" not in text
    for title in (*titles, "Slow random shapes", "Classes of random shapes", "Suite conv", "Startup"):
        assert f"<h2>{title}</h2>" in text
    assert "<h2>Pathological random shapes</h2>" not in text
    assert not re.search(r"(src|href)=\"http|@import|<script|<link", text)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "before-and-after.png", "random-shapes.png", "ratio-conv.png", "report.html", "report.md", "roofline.png",
        "scaling.png", "threads.png",
    ]  # fmt: skip
