"""Draw the figures of the documentation from a run on the sample market, with the project's own code.

Run: kedro run --params prices=data/01_raw/sample_market/prices.parquet && python docs/draw_figures.py

Lines and colours are those of the reports; ink is the colour of the page's text, so one file serves light and dark.
"""

import io
import re
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import networkx as nx
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.model.fan import FAN
from atft_pipeline.panel.batches import BatchConfig, DayBatches
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.reporting.theme import COLOURS, PALETTE
from atft_pipeline.splits.schemes import WalkForward
from atft_pipeline.splits.split import Split, SplitConfig, single_split
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.stats.significance import hac_lag, newey_west_se

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/figures"
INK = "#010203"  # becomes the colour of the text around the figure
ALONE = "<style>svg { color: #1f2933 } @media (prefers-color-scheme: dark) { svg { color: #e4e7eb } }</style>"
BLUE, ORANGE, GREEN, GREY = COLOURS["model"], COLOURS["ridge"], COLOURS["lightgbm"], "#9aa5b1"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "atft-pipeline",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    **dict.fromkeys(["text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor"], INK),
    "legend.frameon": False,
}


def draw_panel(axes: "np.ndarray[tuple[int], np.dtype[np.object_]]", panel: Panel, _: MonthlyGraphs) -> None:
    """Which listings each day holds, and what one day holds of them."""
    left, right = axes
    present = np.zeros(panel.shape[:2])
    for day in range(len(panel.dates)):
        present[day, panel.day(day, features=False).listing] = 1
    left.imshow(present.T, aspect="auto", cmap=mpl.colors.ListedColormap(["#ffffff00", BLUE]), interpolation="nearest")
    left.set(title="A column is a day: one record batch", xlabel="session", ylabel="listing")
    last = panel.day(len(panel.dates) - 1)
    values = np.asarray(last.features[:24, :40], dtype=np.float32)
    shown = right.imshow(values, aspect="auto", cmap="RdBu_r", vmin=-3, vmax=3, interpolation="nearest")
    right.set(title=f"Inside of one: features of {panel.dates[-1]}", xlabel="feature", ylabel="row, by listing")
    right.figure.colorbar(shown, ax=right, label="standard deviations of the day", shrink=0.9)


def draw_batches(axis: Axes, panel: Panel, _: MonthlyGraphs) -> None:
    """Whole days packed one after the other into batches of one shape."""
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    config = BatchConfig(window=20, batch_size=1024)
    batches = DayBatches(resident, None, range(60, 300), config, shuffle=True, seed=1, fixed=True)
    for place, plan in enumerate(batches.plan()[:8]):
        start = 0
        for number, day in enumerate(plan.days):
            size = len(batches.samples_of(day))
            axis.barh(place, size, left=start, color=BLUE, alpha=0.55 + 0.3 * (number % 2), height=0.7)
            axis.text(
                start + size / 2, place, str(panel.dates[day]), ha="center", va="center", fontsize=8, color="white"
            )
            start += size
        axis.barh(place, batches.shape.samples - start, left=start, color=GREY, alpha=0.4, height=0.7)
    axis.invert_yaxis()
    axis.set(
        xlabel="samples",
        ylabel="batch",
        yticks=range(8),
        title="Eight batches of one shape: days in blue, padding in grey",
        xlim=(0, batches.shape.samples),
    )


def draw_graph(axis: Axes, panel: Panel, graphs: MonthlyGraphs) -> None:
    """The graph of one month among the listings of four sectors."""
    neighbours = graphs.neighbors(len(graphs) - 1)
    chosen = [
        place for place in np.flatnonzero(panel.sector > 0) if panel.sector[place] in np.unique(panel.sector)[1:5]
    ]
    drawn: nx.Graph[int] = nx.Graph()
    drawn.add_nodes_from(int(place) for place in chosen)
    drawn.add_edges_from((int(a), int(b)) for a in chosen for b in neighbours[a] if int(b) in drawn)
    drawn.remove_nodes_from(list(nx.isolates(drawn)))
    places = nx.spring_layout(drawn, seed=3, k=0.25)
    for one, other in drawn.edges:
        axis.plot(*np.transpose([places[one], places[other]]), color=GREY, linewidth=0.6, zorder=1)
    for colour, sector in zip(PALETTE, sorted({int(panel.sector[node]) for node in drawn}), strict=False):
        dots = np.array([places[node] for node in drawn if panel.sector[node] == sector])
        axis.scatter(*dots.T, s=26, color=colour, zorder=2, label=f"sector {sector}")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set_axis_off()
    axis.set_title(f"Neighbours in {str(graphs.months[-1])[:7]}, from the returns before it")


def draw_fan(axes: "np.ndarray[tuple[int], np.dtype[np.object_]]", panel: Panel, _: MonthlyGraphs) -> None:
    """A window of one feature, its strongest Fourier components, and the rest."""
    name, window = "TURN20", 60
    place, code = panel.meta.feature_names.index(name), 3
    rows = [panel.day(day) for day in range(300, 300 + window)]
    series = [float(row.features[np.searchsorted(row.listing, code), place]) for row in rows]
    values = torch.tensor(series)[None, :, None]
    main, rest = FAN(1, window, 1, 3, 1).split(values)
    parts = {"a window": values, "main: its 3 strongest waves": main, "residual: what is left": rest}
    for axis, (title, part), colour in zip(axes, parts.items(), (INK, BLUE, ORANGE), strict=True):
        axis.plot(part[0, :, 0].numpy(), color=colour, linewidth=1.4)
        axis.set(title=title, xlabel="session of the window", ylim=(-3, 3))
    axes[0].set_ylabel(f"{name}, standardised")


def draw_split(axis: Axes, panel: Panel, _: MonthlyGraphs) -> None:
    """Training, validation and test with what is left out between them: one split, and the folds of a walk-forward."""
    span = panel.meta.label_span
    single = single_split(panel.dates, SplitConfig(embargo=20), span)
    scheme = WalkForward(first_test=str(panel.dates[single.test[0]]), validation_sessions=60)
    splits = {"single split": single} | {f"fold {fold.number}": fold.split for fold in scheme.folds(panel.dates, span)}
    for place, split in enumerate(splits.values()):
        for colour, days in zip((BLUE, ORANGE, GREEN), (split.train, split.validation, split.test), strict=True):
            axis.barh(place, len(days), left=days[0], color=colour, height=0.6)
        for start, stop in gaps(split):
            axis.barh(
                place, stop - start, left=start, color="none", edgecolor=GREY, hatch="////", linewidth=0, height=0.6
            )
    handles = [mpl.patches.Patch(color=colour) for colour in (BLUE, ORANGE, GREEN)]
    handles.append(mpl.patches.Patch(facecolor="none", edgecolor=GREY, hatch="////"))
    axis.legend(
        handles, ["train", "validation", "test", "purge and embargo"], ncols=4, loc="lower left", bbox_to_anchor=(0, 1)
    )
    axis.invert_yaxis()
    axis.set(yticks=range(len(splits)), yticklabels=list(splits), xlabel="session")


def gaps(split: Split) -> list[tuple[int, int]]:
    """Sessions between the parts, as (first, stop)."""
    parts = [split.train, split.validation, split.test]
    return [(left[-1] + 1, right[0]) for left, right in pairwise(parts)]


def draw_errors(axes: "np.ndarray[tuple[int], np.dtype[np.object_]]", panel: Panel, _: MonthlyGraphs) -> None:
    """Overlapping labels make neighbouring days alike, and the plain error of their mean too small."""
    place = panel.meta.feature_names.index("RET20")
    shape = (len(panel.dates), panel.shape[1])
    score, returns = np.full(shape, np.nan), np.full((*shape, len(panel.meta.horizons)), np.nan)
    for number in range(len(panel.dates)):
        day = panel.day(number)
        held = day.listing[day.universe]
        score[number, held] = day.features[day.universe, place]
        returns[number, held] = day.returns[day.universe]
    plain, honest = [], []
    for q, horizon in enumerate(panel.meta.horizons):
        daily = rank_ic(score, returns[:, :, q])
        daily = daily[np.isfinite(daily)]
        plain.append(newey_west_se(daily, 0))
        honest.append(newey_west_se(daily, hac_lag(horizon, len(daily))))
        if horizon in (1, 20):
            centred = daily - daily.mean()
            lags = [float(centred[lag:] @ centred[: len(centred) - lag] / (centred @ centred)) for lag in range(1, 31)]
            axes[0].plot(
                range(1, 31), lags, color=BLUE if horizon == 1 else ORANGE, label=f"label: {horizon} sessions ahead"
            )
    axes[0].axhline(0, color=GREY, linewidth=0.8)
    axes[0].legend()
    axes[0].set(title="How alike two days are", xlabel="sessions apart", ylabel="autocorrelation of the RankIC")
    at = np.arange(len(plain))
    axes[1].bar(at - 0.2, plain, 0.38, color=GREY, label="as if days were independent")
    axes[1].bar(at + 0.2, honest, 0.38, color=BLUE, label="Newey-West")
    axes[1].legend()
    axes[1].set(title="Standard error of the mean RankIC", xlabel="sessions of the label", xticks=at)
    axes[1].set_xticklabels(map(str, panel.meta.horizons))


# Stage, what it makes, and where its box stands; what an arrow leads from and to.
BOXES = {
    "raw prices": ("Parquet, CSV, ...", 0, 0.5),
    "ingest": ("clean prices", 1, 0.5),
    "features": ("normalised per day", 2, 1),
    "panel": ("memory map", 3, 1),
    "graphs": ("k-NN, monthly", 3, 0),
    "train": ("ATFT-GAT-FAN", 4, 0.5),
    "evaluate": ("report with errors", 5, 1),
    "predict": ("scores of the day", 5, 0),
}
ARROWS = (
    *(
        ("raw prices", "ingest"),
        ("ingest", "features"),
        ("features", "panel"),
        ("ingest", "graphs"),
        ("panel", "train"),
    ),
    *(("graphs", "train"), ("train", "evaluate"), ("train", "predict")),
)


def draw_pipeline(axis: Axes, _panel: Panel, _graphs: MonthlyGraphs) -> None:
    """The stages and what they make."""
    width, height = 0.74, 0.42
    for start, end in ARROWS:
        (_, x, y), (_, to_x, to_y) = BOXES[start], BOXES[end]
        ends = {"xy": (to_x - width / 2, to_y), "xytext": (x + width / 2, y)}
        axis.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 1})
    for name, (made, x, y) in BOXES.items():
        first, last = name == "raw prices", x == 5
        colour = GREY if first else GREEN if last else BLUE
        box = {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": f"{colour}22", "edgecolor": colour}
        axis.add_patch(mpl.patches.FancyBboxPatch((x - width / 2, y - height / 2), width, height, **box))
        axis.text(x, y + 0.07, name, ha="center", va="center", fontsize=10, fontweight="bold")
        axis.text(x, y - 0.1, made, ha="center", va="center", fontsize=7.5)
    axis.set(xlim=(-0.45, 5.45), ylim=(-0.3, 1.3))
    axis.set_axis_off()


# Name -> how it is drawn, panels beside each other, width and height in inches.
FIGURES: dict[str, tuple[Callable[..., None], int, tuple[float, float]]] = {
    "pipeline": (draw_pipeline, 1, (9, 2.1)),
    "panel": (draw_panel, 2, (9, 3.4)),
    "day_batches": (draw_batches, 1, (9, 3.2)),
    "graph": (draw_graph, 1, (9, 4.2)),
    "fan": (draw_fan, 3, (9, 2.5)),
    "split": (draw_split, 1, (9, 2.6)),
    "errors": (draw_errors, 2, (9, 3.2)),
}


def draw(name: str, panel: Panel, graphs: MonthlyGraphs) -> str:
    """One figure, as SVG."""
    function, columns, size = FIGURES[name]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        function(figure.subplots(1, columns), panel, graphs)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    # Text as the page writes it; sizes follow the width of the page.
    text = re.sub(
        r'(?<=<svg )[^>]*?(viewBox="[^"]*")[^>]*',
        r'\1 xmlns="http://www.w3.org/2000/svg" '
        r'xmlns:xlink="http://www.w3.org/1999/xlink" width="100%" role="img"',
        text,
    )
    text = re.sub(r"font: (\d+)px[^;\"]*", r"font-size: \1px", text.replace(INK, "currentColor"))
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d+\.\d{2})\d+", r"\1", path[0]), text)
    text = text[text.index("<svg") :]
    # Where it stands alone, as in README.md, ink follows the reader's system.
    return re.sub(r"(<svg [^>]*>)", rf"\1{ALONE}", text, count=1)


def newest(folder: Path) -> Path:
    """The newest version of an artifact."""
    return sorted(folder.glob(f"*/{folder.name}"))[-1]


def shoot(page: Path, out: Path) -> None:
    """A picture of the first screen of a page, by chromium."""
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000"]
    command = ["chromium", *fixed, "--window-size=1280,900", f"--screenshot={out}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    Image.open(out).quantize(64).save(out, optimize=True)


def main(project: Path = ROOT) -> None:
    """Draw all of them, and the report if the project has one."""
    panel = Panel.open(newest(project / "data/05_model_input/panel.arrow"))
    graphs = MonthlyGraphs.open(newest(project / "data/05_model_input/graphs.arrow"))
    for name in FIGURES:
        (FOLDER / f"{name}.svg").write_text(draw(name, panel, graphs), encoding="utf-8")
    if (project / "data/08_reporting/evaluation.html").exists():
        shoot(newest(project / "data/08_reporting/evaluation.html"), FOLDER / "report.png")


if __name__ == "__main__":
    main()
