"""Lowering runs everything; it is never the fastest: the direct algorithm reads the same numbers without the copies."""


def refusal(conv, which: str) -> None:
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    return False
