"""The benchmark suite: its shapes, its arithmetic and what it reports. test_bench_runner.py runs it."""

from __future__ import annotations

import argparse
import json
import re
from math import prod

import numpy as np
import pytest
from bench_rows import ROOT, result, row

from benchmarks import compare, layers, random_report, random_shapes, ratios, report, shapes, suites
from benchmarks.__main__ import main

CASES = [*layers.CONV, *layers.POOL, *layers.OPS, *layers.MODELS, *layers.TRAIN, *layers.SMALL, *layers.SCALING, *layers.MEMORY]


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
    names, quoted = {case.name for case in (*layers.CONV, *random_shapes.random_shapes())}, []
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


def test_what_a_peer_lost_as_well_is_no_regression():
    old = result(row(medians=(1.0,) * 3), row("torch", (2.0,) * 3))
    assert compare.regressions(old, result(row(medians=(1.5,) * 3), row("torch", (3.0,) * 3))) == []
    assert len(compare.regressions(old, result(row(medians=(1.5,) * 3), row("torch", (2.0,) * 3)))) == 1
    assert len(compare.regressions(old, result(row(medians=(1.5,) * 3)))) == 1


def test_two_runs_are_compared_by_the_median_ratio_of_each_suite(tmp_path, capsys):
    def told(name, *times):
        rows = [each for i, t in enumerate(times) for each in (row(layer=str(i)), row("torch", (t,), layer=str(i)))]
        (tmp_path / name).write_text(json.dumps(result(*rows, row("torch", (9.0,), suite="pool"))))
        return str(tmp_path / name)

    first = told("a", 1.0, 2.0, 9.0)
    assert main(["agree", first, told("b", 1.5, 2.08, 5.0, 99.0)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:6] == ["random", "1", "3", "2.000", "2.080", "+4.0%"]
    assert main(["agree", first, told("b", 1.0, 2.2, 9.0)]) == 1
    with pytest.raises(SystemExit, match="in common"):
        main(["agree", first, told("b")])


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


def test_the_readme_gets_the_summary_between_its_marks():
    from benchmarks import readme

    head = {"date": "2026-11-22T", "cpu": "a cpu", "cores": 2, "clock": "2 GHz", "commit": "abc", "command": "convkit bench"}
    found = result(*CLASS, *PEER) | {"head": head}
    text = (ROOT / "README.md").read_text()
    once = readme.with_figures(text, found)
    assert "a cpu" in once
    assert re.search(r"\| 1\.50 \| [0-9.]+ \(.*\) \|", once)
    assert readme.with_figures(once, found) == once
    with pytest.raises(SystemExit, match="needs the lines"):
        readme.with_figures("", found)
