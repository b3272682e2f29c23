"""Numbers in texts: decimal commas, thousands separators, currency signs and words for nothing.

How a file writes its numbers is decided once for the whole file, from the values that leave no doubt: ``1.234,50`` has
a decimal comma, ``1,234.50`` a decimal point. A file that leaves a doubt is refused.
"""

import polars as pl

from atft_pipeline.errors import DataError

NULL_WORDS = (
    *("", "-", "--", "—", ".", "null", "none", "nil", "nan", "n/a", "na", "#n/a", "#na", "#n/a n/a", "<na>", "nat"),
    *("n.a.", "#value!", "#div/0!", "#ref!", "?", "missing", "inf", "-inf"),
)
CURRENCY = (
    r"(?i)^(?:US\$|[$€£¥￥₹₩]|USD|EUR|GBP|JPY|CNY|INR|CHF|Rs\.?)\s*|\s*(?:[$€£¥￥₹₩元円]|USD|EUR|GBP|JPY|CNY|INR|CHF)$"
)
PLAIN = r"^[-+]?(\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$"
COMMA_THOUSANDS = r"^[-+]?\d{1,3}(,\d{2,3})*,\d{3}(\.\d*)?$"
DOT_THOUSANDS = r"^[-+]?\d{1,3}(\.\d{3})+(,\d*)?$"
COMMA_DECIMALS = r"^[-+]?\d*,\d+(?:[eE][-+]?\d+)?$"
# What can be read one way only.
SURE_POINT = r"^[-+]?\d{1,3}(,\d{2,3})*,\d{3}(\.\d*)$|,\d{2,3},\d{3}|^[-+]?(0\.\d+|\d*\.(\d{1,2}|\d{4,})|\d{4,}\.\d+)$"
SURE_COMMA = r"^[-+]?\d{1,3}(\.\d{3})+,\d*$|\.\d{3}\.\d{3}|^[-+]?(0,\d+|\d*,(\d{1,2}|\d{4,})|\d{4,},\d+)$"
MULTIPLES = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12, "万": 1e4, "亿": 1e8, "億": 1e8}
MULTIPLE = r"(?i)^(.*\d)\s*(k|m|bn|b|t|万|亿|億)$"


def read_numbers(
    frame: pl.DataFrame, columns: list[str], where: object, counts: frozenset[str], separator_is_comma: bool
) -> pl.DataFrame:
    """Turn columns of strings into Float64.

    Args:
        frame: holds the columns; its other ones stay.
        columns: their names.
        where: the file, for the messages.
        counts: those that hold whole counts, in which ``1,234`` leaves no doubt.
        separator_is_comma: cells are separated by commas, so that a decimal comma is not to be expected.

    Raises:
        DataError: a value is no number, or the file leaves a doubt how its numbers are written.
    """
    stripped = frame.select(_stripped(pl.col(name)) for name in columns)
    comma = _decimal_comma(stripped, where, counts, separator_is_comma)
    numbers = stripped.select(_number(pl.col(name), comma) for name in columns)
    for name in columns:
        wrong = stripped[name].is_not_null() & numbers[name].is_null()
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            day = frame["Date"][row] if "Date" in frame.columns else None
            at = f"row {row + 1}" + (f" ({day})" if day is not None else "")
            msg = (
                f"{where}: column {name!r} holds {frame[name][row]!r} in {at}, which is no number; "
                "correct it or leave the cell empty"
            )
            raise DataError(msg)
    return frame.with_columns(numbers)


def is_number(text: str) -> bool:
    """Whether a text can be a number, however it is written."""
    stripped = pl.DataFrame({"x": [text]}).select(_stripped(pl.col("x")))
    ways = stripped.select(pl.coalesce(_number(pl.col("x"), comma) for comma in (False, True)))
    return ways.to_series()[0] is not None


def _stripped(text: pl.Expr) -> pl.Expr:
    """Strip blanks, currency signs and apostrophes; words for nothing become null."""
    bare = text.str.strip_chars().str.replace_all(r"[\s\u{a0}\u{202f}'’]", "").str.replace_all(CURRENCY, "")
    bare = bare.str.replace(r"^\((.*)\)$", "-${1}")
    return pl.when(~bare.str.to_lowercase().is_in(NULL_WORDS)).then(bare)


def _decimal_comma(stripped: pl.DataFrame, where: object, counts: frozenset[str], separator_is_comma: bool) -> bool:
    """Decide how the file writes decimals."""
    if not stripped.select(pl.any_horizontal(pl.all().str.contains(r",|\.\d{3}\.").any()))[0, 0]:
        return False
    point, comma = (_first(stripped, pattern) for pattern in (SURE_POINT, SURE_COMMA))
    if point and comma:
        msg = (
            f"{where}: numbers are written in two ways, {comma[1]!r} in column {comma[0]!r} and {point[1]!r} in "
            f"column {point[0]!r}; write all of them with a decimal point and without thousands separators"
        )
        raise DataError(msg)
    prices = stripped.drop(counts)
    if point:
        return False
    if comma:
        # 50.210 everywhere, and a comma nowhere: three decimals or thousands, whatever the counts look like.
        same = [
            name for name in prices.columns if prices[name].drop_nulls().str.contains(r"^[-+]?\d{1,3}\.\d{3}$").all()
        ]
        commas = prices.select(pl.any_horizontal(pl.all().str.contains(",", literal=True).any()))
        doubt = _first(prices.select(same), ".") if same and not commas[0, 0] else None
        separator_is_comma = True
    else:
        doubt = _first(prices, r"^[-+]?\d{1,3},\d{3}$")
    if doubt and separator_is_comma:
        msg = (
            f"{where}: column {doubt[0]!r} holds {doubt[1]!r}, which could be two numbers; write numbers with a "
            "decimal point and without thousands separators"
        )
        raise DataError(msg)
    return comma is not None or doubt is not None


def _first(stripped: pl.DataFrame, pattern: str) -> tuple[str, str] | None:
    """First value that matches, with its column."""
    for name in stripped.columns:
        found = stripped[name].filter(stripped[name].str.contains(pattern).fill_null(value=False))
        if len(found):
            return name, found[0]
    return None


def _number(text: pl.Expr, comma: bool) -> pl.Expr:
    """Read one way of writing."""
    factor = text.str.extract(MULTIPLE, 2).str.to_lowercase().replace_strict(MULTIPLES, default=None).fill_null(1.0)
    bare = text.str.replace(MULTIPLE, "${1}")
    if comma:
        grouped = pl.when(bare.str.contains(DOT_THOUSANDS)).then(bare.str.replace_all(".", "", literal=True))
        whole = bare.str.contains(r"^[-+]?\d+$")
        plain = pl.coalesce(grouped, pl.when(bare.str.contains(COMMA_DECIMALS) | whole).then(bare))
        value = plain.str.replace(",", ".", literal=True)
    else:
        grouped = pl.when(bare.str.contains(COMMA_THOUSANDS)).then(bare.str.replace_all(",", "", literal=True))
        value = pl.coalesce(grouped, pl.when(bare.str.contains(PLAIN)).then(bare))
    return value.cast(pl.Float64, strict=False) * factor
