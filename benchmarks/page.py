"""A page of one file: the pictures of a run and its tables, nothing to fetch."""

from __future__ import annotations

from html import escape
from io import StringIO

from . import random_report, report
from .compare import compare
from .tables import Table

STYLE = """body { font: 14px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 84em; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: .15em .7em; text-align: right; }
th { border-bottom: 1px solid #888; position: sticky; top: 0; background: #fff; } tr:nth-child(even) td { background: #f4f4f4; }
th:first-child, td:first-child { text-align: left; } section { overflow-x: auto; } svg { max-width: 100%; height: auto; }"""


def page(result: dict, drawn: dict[str, object], old: dict | None = None) -> str:
    """HTML of a run, with its pictures; against an earlier one where there is one."""
    body = [section(title, svg(figure)) for title, figure in drawn.items()]
    body.append(section("Machine", table((["", ""], [list(pair) for pair in report.facts(result)]))))
    found = tables(result) | ({"Before and after": compare(old, result)} if old else {})
    body += [section(title, table(content)) for title, content in found.items() if content[1]]
    title = f"convkit, {escape(result['head'].get('date', '')[:10])}"
    return f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n<style>{STYLE}</style>\n' + (
        f"<h1>{title}</h1>\n" + "\n".join(body) + "\n</html>\n"
    )


def tables(result: dict) -> dict[str, Table]:
    """The tables by title."""
    passes = random_report.measured(result)
    bad = [row for row in result["results"] if row["status"] in ("failed", "differs")]
    wrong = [[row["library"], row["layer"], row["what"], row["status"], row["note"]] for row in bad]
    startup = [[name, str(value)] for name, value in result.get("startup", {}).items()]
    return {
        "Summary": (["", ""], [line.split(": ", 1) for line in report.summary(result)]),
        **{f"Suite {name}": content for name, content in report.times_tables(result).items()},
        **report.memory_tables(result),
        "Startup": (["", ""], startup),
        "Slow random shapes": random_report.offenders_table(random_report.slow(passes)),
        "Pathological random shapes": random_report.offenders_table(random_report.pathological(passes)),
        "Classes of random shapes": random_report.classes_table(passes),
        "Random shapes": random_report.shapes_table(passes),
        "Failed, or a wrong result": (["library", "layer", "pass", "status", "note"], wrong),
        "Not measured": (["library", "why"], [list(pair) for pair in result["missing"].items()]),
    }


def section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>"


def table(content: Table) -> str:
    head, lines = content
    cells = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + f"</tr>\n{cells}</table>"


def svg(figure) -> str:
    """The drawing as text that stands inside a page."""
    text = StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]
