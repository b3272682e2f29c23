"""Every formula against a plain-Python transcription of Qlib's expressions, value for value."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from atft_pipeline.features import alpha158
from atft_pipeline.features.blocks import ListingBlock

NAN = math.nan
Series = list[float]


def known(values: Series) -> Series:
    return [value for value in values if not math.isnan(value)]


def window(values: Series, t: int, size: int) -> Series:
    return values[max(0, t - size + 1) : t + 1]


def ref(values: Series, t: int, lag: int) -> float:
    return values[t - lag] if t >= lag else NAN


def mean(values: Series) -> float:
    kept = known(values)
    return math.fsum(kept) / len(kept) if kept else NAN


def total(values: Series) -> float:
    kept = known(values)
    return math.fsum(kept) if kept else NAN


def std(values: Series) -> float:
    kept = known(values)
    if len(kept) < 2:
        return NAN
    centre = mean(kept)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in kept) / (len(kept) - 1))


def quantile(values: Series, share: float) -> float:
    kept = sorted(known(values))
    if not kept:
        return NAN
    place = share * (len(kept) - 1)
    low = int(place)
    high = min(low + 1, len(kept) - 1)
    return kept[low] + (kept[high] - kept[low]) * (place - low)


def rank(values: Series) -> float:
    if math.isnan(values[-1]):
        return NAN
    kept = known(values)
    below = sum(value < values[-1] for value in kept)
    level = sum(value == values[-1] for value in kept)
    return (below + (level + 1) / 2) / len(kept)


def line(values: Series) -> tuple[float, float, float]:
    """Slope, R squared and last residual of the least-squares line through the present values."""
    pairs = [(float(x), y) for x, y in enumerate(values) if not math.isnan(y)]
    if len(pairs) < 2:
        return NAN, NAN, NAN
    mx, my = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
    sxy = math.fsum((x - mx) * (y - my) for x, y in pairs)
    sxx = math.fsum((x - mx) ** 2 for x, _ in pairs)
    syy = math.fsum((y - my) ** 2 for _, y in pairs)
    slope = sxy / sxx
    fit = NAN if syy == 0 else sxy * sxy / (sxx * syy)
    return slope, fit, values[-1] - (my + slope * (len(values) - 1 - mx))


def corr(first: Series, second: Series) -> float:
    pairs = [(x, y) for x, y in zip(first, second, strict=True) if not (math.isnan(x) or math.isnan(y))]
    if len(pairs) < 2:
        return NAN
    mx, my = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
    sxx = math.fsum((x - mx) ** 2 for x, _ in pairs)
    syy = math.fsum((y - my) ** 2 for _, y in pairs)
    if sxx == 0 or syy == 0:
        return NAN
    return math.fsum((x - mx) * (y - my) for x, y in pairs) / math.sqrt(sxx * syy)


def place(values: Series, pick: Callable[[Series], float]) -> float:
    kept = known(values)
    return values.index(pick(kept)) + 1 if kept else NAN


def ratio(top: float, bottom: float) -> float:
    value = top / bottom if bottom else NAN
    return value if math.isfinite(value) else NAN


def either(pick: Callable[[float, float], float], a: float, b: float) -> float:
    return NAN if math.isnan(a) or math.isnan(b) else pick(a, b)


def above(a: float, b: float) -> float:
    return float(a > b)


def transcribe(o: Series, h: Series, l: Series, c: Series, v: Series, t: int) -> dict[str, float]:
    """The 158 features of row t."""
    e = 1e-12
    top, bottom = either(max, o[t], c[t]), either(min, o[t], c[t])
    out = {
        "KMID": (c[t] - o[t]) / o[t],
        "KLEN": (h[t] - l[t]) / o[t],
        "KMID2": (c[t] - o[t]) / (h[t] - l[t] + e),
        "KUP": (h[t] - top) / o[t],
        "KUP2": (h[t] - top) / (h[t] - l[t] + e),
        "KLOW": (bottom - l[t]) / o[t],
        "KLOW2": (bottom - l[t]) / (h[t] - l[t] + e),
        "KSFT": (2 * c[t] - h[t] - l[t]) / o[t],
        "KSFT2": (2 * c[t] - h[t] - l[t]) / (h[t] - l[t] + e),
        "OPEN0": o[t] / c[t],
        "HIGH0": h[t] / c[t],
        "LOW0": l[t] / c[t],
        "VWAP0": (h[t] + l[t] + c[t]) / 3 / c[t],
    }
    size = range(len(c))
    c1, v1 = [ref(c, s, 1) for s in size], [ref(v, s, 1) for s in size]
    step, vstep = [c[s] - c1[s] for s in size], [v[s] - v1[s] for s in size]
    cr = [ratio(c[s], c1[s]) for s in size]
    vr = [math.log(ratio(v[s], v1[s]) + 1) for s in size]
    lv = [math.log(v[s] + 1) for s in size]
    weighted = [abs(cr[s] - 1) * v[s] for s in size]
    for d in (5, 10, 20, 30, 60):
        slope, fit, left = line(window(c, t, d))
        hw, lw = window(h, t, d), window(l, t, d)
        hi, lo = max(known(hw), default=NAN), min(known(lw), default=NAN)
        imax, imin = place(hw, max), place(lw, min)
        up = mean([above(a, b) for a, b in zip(window(c, t, d), window(c1, t, d), strict=True)])
        down = mean([above(b, a) for a, b in zip(window(c, t, d), window(c1, t, d), strict=True)])
        out |= {
            f"ROC{d}": ref(c, t, d) / c[t],
            f"MA{d}": mean(window(c, t, d)) / c[t],
            f"STD{d}": std(window(c, t, d)) / c[t],
            f"BETA{d}": slope / c[t],
            f"RSQR{d}": fit,
            f"RESI{d}": left / c[t],
            f"MAX{d}": hi / c[t],
            f"MIN{d}": lo / c[t],
            f"QTLU{d}": quantile(window(c, t, d), 0.8) / c[t],
            f"QTLD{d}": quantile(window(c, t, d), 0.2) / c[t],
            f"RANK{d}": rank(window(c, t, d)),
            f"RSV{d}": (c[t] - lo) / (hi - lo + e),
            f"IMAX{d}": imax / d,
            f"IMIN{d}": imin / d,
            f"IMXD{d}": (imax - imin) / d,
            f"CORR{d}": corr(window(c, t, d), window(lv, t, d)),
            f"CORD{d}": corr(window(cr, t, d), window(vr, t, d)),
            f"CNTP{d}": up,
            f"CNTN{d}": down,
            f"CNTD{d}": up - down,
            f"VMA{d}": mean(window(v, t, d)) / (v[t] + e),
            f"VSTD{d}": std(window(v, t, d)) / (v[t] + e),
            f"WVMA{d}": std(window(weighted, t, d)) / (mean(window(weighted, t, d)) + e),
        }
        for prefix, moves in (("", step), ("V", vstep)):
            gain = total([either(max, m, 0.0) for m in window(moves, t, d)])
            loss = total([either(max, -m, 0.0) for m in window(moves, t, d)])
            scale = total([abs(m) for m in window(moves, t, d)]) + e
            out |= {
                f"{prefix}SUMP{d}": gain / scale,
                f"{prefix}SUMN{d}": loss / scale,
                f"{prefix}SUMD{d}": (gain - loss) / scale,
            }
    return out


def prices(rows: int, listings: int, missing: float, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (rows, listings)
    close = np.round(30 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0)), 2)  # cents, so that there are ties
    opened = np.round(close * np.exp(rng.normal(0, 0.01, shape)), 2)
    high = np.maximum(opened, close) + np.round(rng.random(shape), 2)
    low = np.minimum(opened, close) - np.round(rng.random(shape), 2)
    volume = np.floor(rng.lognormal(6, 1, shape))
    return [np.where(rng.random(shape) < missing, np.nan, x) for x in (opened, high, low, close, volume)]


def computed(columns: list[np.ndarray]) -> dict[str, np.ndarray]:
    o, h, l, c, v = columns
    empty = np.zeros(0, dtype=np.int64)
    out: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        block = ListingBlock(o, h, l, c, v, (h + l + c) / 3.0, np.zeros_like(c), empty, empty)
        alpha158.emit_alpha158(block, out.__setitem__)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.08])
def test_every_formula_value_for_value(missing: float) -> None:
    columns = prices(90, 2, missing, seed=1)
    found = computed(columns)
    assert tuple(sorted(found)) == tuple(sorted(alpha158.NAMES))
    assert len(alpha158.NAMES) == 158
    for listing in range(2):
        lists = [column[:, listing].tolist() for column in columns]
        for t in (0, 1, 4, 17, 60, 61, 75, 89):
            wanted = transcribe(*lists, t)
            for name, value in wanted.items():
                got = float(found[name][t, listing])
                assert (math.isnan(got) and math.isnan(value)) or got == pytest.approx(value, rel=1e-9, abs=1e-9), (
                    f"{name} row {t}"
                )


def test_constant_prices_have_no_trend_and_no_spread() -> None:
    flat = np.full((70, 1), 17.3)
    found = computed([flat, flat, flat, flat, np.full((70, 1), 1e6)])
    assert found["STD60"][-1, 0] == 0.0
    assert math.isnan(found["RSQR60"][-1, 0])
    assert math.isnan(found["CORR60"][-1, 0])
    assert found["RANK5"][-1, 0] == pytest.approx(0.6)
    assert found["IMAX5"][-1, 0] == pytest.approx(0.2)


def test_zero_volume_does_not_spoil_later_windows() -> None:
    columns = prices(90, 1, 0.0, seed=3)
    columns[4][20] = 0.0
    found = computed(columns)
    assert np.isfinite(found["CORD60"][25:]).all()
    assert np.isfinite(found["WVMA5"][25:]).all()
