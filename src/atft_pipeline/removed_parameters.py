"""Parameters that earlier versions had, and what a user does instead.

A removed key stays in nobody's way: it is refused like any unknown key, but the message says what replaced it.
"""

REMOVED: dict[str, str] = {
    "EvaluationConfig.rivals": "it is called benchmarks",
    "PortfolioConfig.books": "it is called kinds",
    "EvaluationConfig.styles": "it selected nothing: the styles of the report are always computed from the prices",
}
"""Advice by ``ConfigClass.key``, the class that had the key: a plain sentence that names what replaces it."""


def advice(group: str, key: str) -> str | None:
    """What to do instead of a removed key of a configuration class; ``None`` where it never was one.

    Args:
        group: name of the class, such as ``LossConfig``.
        key: the unknown key.
    """
    found = REMOVED.get(f"{group}.{key}")
    return None if found is None else f"is no longer a parameter; {found}"
