"""The direct algorithm runs everything; its tables are made in plan/conv.py."""


def refusal(conv, which: str) -> None:
    return None


def pays(conv, which: str, itemsize: int) -> bool:
    return True
