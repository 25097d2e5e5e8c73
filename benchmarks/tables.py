"""Tables on a terminal and in Markdown."""

from __future__ import annotations

Table = tuple[list[str], list[list[str]]]


def print_table(head: list[str], lines: list[list[str]], markdown: bool) -> None:
    """Print the columns that have something in them."""
    if not lines:
        return
    filled = [i for i in range(len(head)) if any(line[i] for line in lines)]
    head, *lines = ([line[i] for i in filled] for line in (head, *lines))
    if markdown:
        for line in (head, ["---"] * 2 + ["---:"] * (len(head) - 2), *lines):
            print("| " + " | ".join(line) + " |")
        return
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    for line in (head, *lines):
        cells = [line[i].ljust(width) if i < 2 else line[i].rjust(width) for i, width in enumerate(widths)]
        print("  ".join(cells).rstrip())


def milliseconds(row: dict, which: str = "median") -> str:
    if row.get(which) is None:
        return {None: "", "absent": "-"}.get(row.get("status"), row.get("status"))
    return f"{row[which] * 1e3:.4g}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}" if share < 10 else f"{share:.0f}x"
