"""One prediction table against others, on the rows that all of them have: what did a change of the recipe gain?

    python benchmarks/compare.py BASE OTHER [OTHER ...] --until 2015-12-31

Each is the Parquet file of ``predictions`` or ``walk_forward_predictions`` (or its folder of versions, of which the
newest is read). Prints by horizon the mean daily RankIC of each table's model and its paired difference to the first,
with Newey-West errors; the last line is the mean of all rankings.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from atft_pipeline.evaluation.grid import Grid, horizons_of
from atft_pipeline.stats.rank_ic import rank_ic, rank_rows
from atft_pipeline.stats.significance import estimate

KEYS = ["Date", "Listing"]


def read(path: Path) -> pl.LazyFrame:
    """The newest version of a table."""
    versions = sorted(path.glob(f"*/{path.name}"))
    return pl.scan_parquet(versions[-1] if versions else path)


def compare(tables: list[pl.LazyFrame], horizon: int) -> list[str]:
    """Lines of one horizon."""
    score, outcome = f"score_{horizon}", f"return_{horizon}"
    joined = tables[0].select(*KEYS, outcome, pl.col(score).alias("0"))
    for number, table in enumerate(tables[1:], 1):
        joined = joined.join(table.select(*KEYS, pl.col(score).alias(str(number))), on=KEYS, how="inner")
    rows = joined.collect()
    grid = Grid.of(rows)
    realised = grid.to_days(rows[outcome])
    scores = [grid.to_days(rows[str(number)]) for number in range(len(tables))]
    daily = [rank_ic(values, realised, 10) for values in scores]
    together = np.sum([rank_rows(values) for values in scores], axis=0)
    daily.append(rank_ic(together, realised, 10))
    lines = []
    for number, series in enumerate(daily):
        name = "mean of all" if number == len(tables) else f"table {number + 1}"
        found, less = estimate(series, horizon), estimate(series - daily[0], horizon)
        text = f"{horizon:3d}  {name:12s} {found.mean:.4f} ± {found.se:.4f}"
        lines.append(text if number == 0 else f"{text}   less table 1 {less.mean:+.4f} ± {less.se:.4f} ({less.t:+.1f})")
    return lines


def main() -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--until", type=str, default="9999-12-31", help="last day")
    options = parser.parse_args()
    tables = [read(path).filter(pl.col("Date") <= pl.lit(options.until).str.to_date()) for path in options.tables]
    for horizon in horizons_of(tables[0].head(1).collect()):
        print("\n".join(compare(tables, horizon)), end="\n\n")


if __name__ == "__main__":
    main()
