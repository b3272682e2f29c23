"""What all pages share: the skeleton, escaping, no network; and how a browser shows those of a run."""

import re
from pathlib import Path

import polars as pl
import pytest
from markupsafe import escape

from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.reporting.cells import leaves, number
from atft_pipeline.reporting.quality_figures import rows_and_codes
from atft_pipeline.reporting.quality_page import quality_page
from atft_pipeline.reporting.run_card_page import card_page
from tests.browser import browser, open_page
from tests.features.market import raw_market

DARK = "--blink-settings=preferredColorScheme=0"
PAGES = {"data_quality": 6, "run_card": 0, "evaluation": 10}
"""Pages of a run, and how many figures each shows."""


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>", "", page, flags=re.S)


def prepared(**names: object) -> dict[str, object]:
    """Report of a prepared table."""
    sizes = {"rows": 1200, "codes": 12, "sessions": 100, "first": "2020-01-01", "last": "2020-05-19"}
    columns = {"labels": {"r": 1.0}, "coverage": {"full": 1.0, "half": 0.5}, "left_out": ["Name"], "empty": []}
    return {"kind": "prepared", "source": "table.parquet", **sizes, **columns, **names}


def test_names_from_the_prices_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "<b>prices.parquet"
    last = pl.col("Date") == pl.col("Date").max()
    frame = raw_market(12, 90)
    twice = pl.concat([frame, frame.filter(last & (pl.col("Code") == "C04"))])
    twice.with_columns(pl.col("Code").replace({"C04": "<b>C04"})).write_parquet(path)
    report = ingest(path, None, IngestConfig()).report
    assert any("<b>C04" in example for rule in report["rules"] for example in rule["examples"])
    page = without_scripts(quality_page(report))
    assert "<b>C04" not in page
    assert "&lt;b&gt;C04" in page
    assert "<b>prices" not in page


def test_what_was_read_is_no_remark_and_parameters_that_are_set_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    raw_market(25, 90).write_parquet(path)
    report = ingest(path, None, IngestConfig()).report
    read = report["reading"]["notes"][0]
    sound = without_scripts(quality_page({**report, "remarks": []}))
    head, _, rest = sound.partition("<h2>Worth a look</h2>")
    assert f"<li>{escape(read)}</li>" in head
    assert rest.lstrip().startswith("<ul><li>nothing</li></ul>")
    page = without_scripts(quality_page({**report, "remarks": ["No listing <is> there."]}))
    assert (
        page.partition("<h2>Worth a look</h2>")[2].lstrip().startswith("<ul><li>No listing &lt;is&gt; there.</li></ul>")
    )
    assert "<dt>universe.min_dollar_volume</dt><dd>500,000</dd>" in page
    assert "<dt>prices.columns" not in page
    assert "<dd></dd>" not in page
    assert "<dd>–</dd>" not in page


def test_codes_of_the_universe_are_drawn_beside_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    last = pl.col("Code") == "C24"
    raw_market(25, 90).with_columns(Volume=pl.when(last).then(1.0).otherwise("Volume")).write_parquet(path)
    drawn = rows_and_codes(ingest(path, None, IngestConfig()).report)
    codes = {bar.name: list(bar.y) for bar in drawn.data[3:]}
    assert codes == {"raw": [25], "clean": [25], "universe": [24]}


def test_names_of_a_prepared_table_are_escaped() -> None:
    page = quality_page(prepared(coverage={"<b>full": 1.0}, left_out=["<i>Name"], source="<u>table"))
    assert not re.search("<b>full|<i>|<u>", page)
    assert "&lt;b&gt;full" in page


def test_columns_of_a_prepared_table_stand_emptiest_first() -> None:
    page = quality_page(prepared())
    assert re.findall(r"<td>(\w+)</td><td class=\"n\">([\d.%]+)</td>", page) == [
        ("half", "50.0%"),
        ("r", "100.0%"),
        ("full", "100.0%"),
    ]
    assert "<script" not in page


def test_the_contents_lead_to_every_section_and_nowhere_else() -> None:
    page = card_page({"warnings": [], "time": {"seconds": 1.0}, "more": {"asked": True}}, [])
    sections = re.findall(r'<section id="([^"]+)">\s*<h2>([^<]+)</h2>', page)
    assert [title for _, title in sections] == ["Time", "Other", "Epochs"]
    assert re.findall(r'<a href="#([^"]+)">([^<]+)</a>', page) == sections


def test_values_are_written_for_people() -> None:
    given = (None, True, False, 1234567, 0.123456789, 1e-5, "a", [1, 0.5])
    assert [number(value) for value in given] == ["–", "yes", "no", "1,234,567", "0.12346", "1e-05", "a", "1, 0.5"]
    assert [number(value) for value in (5e5, 1.5e6, 99_999.0, -2e9)] == [
        "500,000",
        "1,500,000",
        "99,999",
        "-2,000,000,000",
    ]
    assert leaves({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "d": 2}
    assert leaves(3) == {"value": 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_browser_shows_every_section_and_figure(name: str, finished: tuple[Path, str], tmp_path: Path) -> None:
    browser()
    (path,) = finished[0].glob(f"data/08_reporting/{name}.html/*/{name}.html")
    titles = re.findall(r"<h2>([^<]+)</h2>", without_scripts(path.read_text()))
    for flags, ground in ((), "rgb(255, 255, 255)"), ((DARK,), "rgb(24, 31, 39)"):
        shown, said = open_page(path.as_uri(), tmp_path, *flags)
        assert said == []
        plain = without_scripts(shown)
        assert re.findall(r'<section id="[^"]+">\s*<h2>([^<]+)</h2>', plain) == titles
        # A figure that failed leaves its frame empty; every plot that is drawn has a ground of the reader's theme.
        assert plain.count("js-plotly-plot") == PAGES[name]
        assert (
            len(re.findall(rf'<svg class="main-svg"[^>]*style="background: {re.escape(ground)}', plain)) == PAGES[name]
        )
