"""A synthetic market with a known, causal, cross-sectional signal in three separable parts.

Legend: T sessions, N listings, S sectors, G peer groups.

The daily log return of listing i is

    r_it = beta_i m_t + s_sector(i),t + g_group(i),t + vol_i (mu_it + e_it)

with Student-t factors and noise, and a drift mu known one session before from three hidden states:

* **own**: an AR(1) state a_it that the listing's own candle shows (a long lower shadow says that it is high);
* **neighbour**: the mean of the states v_jt of the listing's peers, each visible in the volume of the peer alone, so
  that nothing of it can be read from the listing's own columns. Peers share the group factor, hence correlation finds
  them;
* **cycle**: a slow oscillation with a period and phase of its own. The day's range shows its cosine, the drift follows
  its sine, so that no single day tells the sign: the window must be read.

The generator knows mu, hence the best possible score: E[sum of the next h returns | states of today], the ORACLE.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.config import config, require, within
from atft_pipeline.synthetic.noise import add_noise

Array = npt.NDArray[np.float64]
HORIZONS = (1, 5, 10, 20)
PARTS = ("own", "neighbour", "cycle")
FIRST_DATE = "2020-01-02"
# AR(1) coefficients of the own and of the peers' states: a signal of a few sessions, which all horizons still feel.
OWN_MEMORY = 0.7
NEIGHBOUR_MEMORY = 0.6
# Shortest and longest period of the cycles, in sessions: a window of twenty holds one or two.
CYCLE_PERIODS = (10.0, 20.0)
# Fraction of the codes that start late or stop early.
PARTIAL_FRACTION = 0.15
SECTORS = 8
# Listings of a peer group, whose returns correlate: as many neighbours as a graph of the sample market has.
PEERS = 10


@config
class SignalConfig:
    """Strength of the planted signal.

    Attributes:
        own: strength of the own part, in daily idiosyncratic standard deviations.
        neighbour: strength of the neighbour part, same unit.
        cycle: strength of the cycle part, same unit.
    """

    own: float = within(0.17, 0, 10.0)
    neighbour: float = within(0.17, 0, 10.0)
    cycle: float = within(0.17, 0, 10.0)


@config
class SampleMarketConfig:
    """Size and nature of the market.

    Attributes:
        seed: the same seed gives the same market, byte for byte.
        listings: number of codes.
        sessions: number of trading days.
        signal: the planted signal.
        noise: rows that are broken on purpose afterwards, as a multiple of the usual number; 0 breaks none.
    """

    seed: int = within(7, 0, 2**32 - 1)
    listings: int = within(200, 4, 100_000)
    sessions: int = within(750, 30, 20_000)
    signal: SignalConfig = SignalConfig()
    noise: float = within(1.0, 0, 100.0)

    def __post_init__(self) -> None:
        require(self.listings >= 2 * PEERS, f"listings: must be at least {2 * PEERS}, got {self.listings}")


@dataclass(frozen=True)
class SampleMarket:
    """A synthetic market.

    Attributes:
        prices: Date, Code, Open, High, Low, Close, Volume; noise included.
        listings: Code, sector, market.
        oracle: Date, Code, ``oracle_{h}`` (expected log return over the next h sessions) and the parts of the first
            horizon, ``oracle_own_1``, ``oracle_neighbour_1``, ``oracle_cycle_1``.
    """

    prices: pl.DataFrame
    listings: pl.DataFrame
    oracle: pl.DataFrame


@dataclass(frozen=True)
class States:
    """Hidden states [T, N] and what each promises for the next h sessions."""

    own: Array
    volume: Array
    cycle: Array
    drift: dict[str, dict[int, Array]]


def generate(config: SampleMarketConfig) -> SampleMarket:
    """Generate a market of any size.

    Args:
        config: size, seed, signal and noise.

    Returns:
        Prices with noise, the listings table, and the oracle of the clean market.
    """
    rng = np.random.default_rng(config.seed)
    dates = sessions(FIRST_DATE, config.sessions)
    codes = [f"S{number:04d}" for number in range(config.listings)]
    group = rng.permutation(np.arange(config.listings) // PEERS)
    # Groups nest in sectors; three in four listings say so, the rest belong to another sector on paper.
    sector = group % SECTORS
    stated = np.where(rng.random(config.listings) < 0.75, sector, rng.integers(0, SECTORS, config.listings))
    states = hidden_states(rng, config, group)
    volatility = rng.uniform(0.010, 0.022, config.listings)
    returns = simulate_returns(rng, config, group, sector, volatility, states)
    clean = candles(rng, returns, volatility, states)
    alive = lifetimes(rng, config)
    prices = _long(dates, codes, alive, clean)
    names = [f"{market} market" for market in ("main", "growth")]
    listings = pl.DataFrame(
        {
            "Code": codes,
            "sector": [f"sector {number + 1}" for number in stated],
            "market": [names[int(small)] for small in rng.random(config.listings) < 0.3],
        }
    )
    columns = {
        f"oracle_{horizon}": volatility * sum(states.drift[part][horizon] for part in PARTS) for horizon in HORIZONS
    }
    columns |= {f"oracle_{part}_1": volatility * states.drift[part][1] for part in PARTS}
    # Five decimals (a tenth of a basis point) keep the ranks and compress well.
    oracle = _long(dates, codes, alive, {name: value.round(5) for name, value in columns.items()})
    oracle = oracle.with_columns(pl.selectors.float().cast(pl.Float32))
    return SampleMarket(add_noise(prices, config.noise, rng), listings, oracle)


def sessions(first_date: str, count: int) -> npt.NDArray[np.datetime64]:
    """Weekdays from ``first_date`` on without three fixed holidays of each year."""
    start = np.datetime64(first_date, "D")
    days = start + np.arange(int(count * 1.6) + 20)
    years = np.unique(days.astype("datetime64[Y]"))
    closed = np.array([f"{year}-{day}" for year in years for day in ("01-01", "07-04", "12-25")], dtype="datetime64[D]")
    return days[np.is_busday(days, holidays=closed)][:count]


def hidden_states(rng: np.random.Generator, config: SampleMarketConfig, group: npt.NDArray[np.int64]) -> States:
    """Draw the states [T, N] and the drift that each promises over h sessions, in units of the listing's volatility."""
    shape = (config.sessions, config.listings)
    signal = config.signal
    own = autoregression(rng, shape, OWN_MEMORY)
    volume = autoregression(rng, shape, NEIGHBOUR_MEMORY)
    period = rng.uniform(*CYCLE_PERIODS, config.listings)
    step = 2 * np.pi / period
    phase = rng.uniform(0, 2 * np.pi, config.listings) + np.cumsum(step + 0.03 * rng.standard_normal(shape), axis=0)

    member = (group[:, None] == group[None, :]) & ~np.eye(config.listings, dtype=bool)
    weight = member / np.sqrt(np.maximum(member.sum(axis=1, keepdims=True), 1))
    neighbour = volume @ weight.T
    drift = {
        "own": {h: signal.own * geometric(OWN_MEMORY, h) * own for h in HORIZONS},
        "neighbour": {h: signal.neighbour * geometric(NEIGHBOUR_MEMORY, h) * neighbour for h in HORIZONS},
        "cycle": {
            h: signal.cycle * np.sqrt(2) * sum(np.sin(phase + ahead * step) for ahead in range(h)) for h in HORIZONS
        },
    }
    return States(own=own, volume=volume, cycle=np.cos(phase), drift=drift)


def simulate_returns(
    rng: np.random.Generator,
    config: SampleMarketConfig,
    group: npt.NDArray[np.int64],
    sector: npt.NDArray[np.int64],
    volatility: Array,
    states: States,
) -> Array:
    """Log returns [T, N]: fat-tailed factors and noise, and the drift promised by the states of the day before."""
    shape = (config.sessions, config.listings)
    beta = rng.uniform(0.6, 1.4, config.listings)
    market = 0.008 * fat(rng, (config.sessions, 1))
    of_sector = 0.004 * fat(rng, (config.sessions, SECTORS))[:, sector]
    of_group = 0.8 * volatility * fat(rng, (config.sessions, int(group.max()) + 1))[:, group]
    drift = np.zeros(shape)
    drift[1:] = np.sum([states.drift[part][1] for part in PARTS], axis=0)[:-1]
    returns: Array = beta * market + of_sector + of_group + volatility * (drift + 0.8 * fat(rng, shape))
    return returns


def candles(rng: np.random.Generator, returns: Array, volatility: Array, states: States) -> dict[str, Array]:
    """Open, High, Low, Close and Volume [T, N] that agree with the returns and show the states."""
    shape = returns.shape
    start = np.exp(rng.uniform(np.log(15), np.log(150), shape[1]))
    close = start * np.exp(np.cumsum(returns, axis=0))
    before = np.vstack([start, close[:-1]])
    overnight = 0.35 * returns + 0.2 * volatility * rng.standard_normal(shape)
    opening = before * np.exp(overnight)
    # The shadows: their sum follows the cycle, their difference the own state.
    length = volatility * np.exp(0.6 * states.cycle + 0.15 * rng.standard_normal(shape))
    tilt = 1 / (1 + np.exp(-1.2 * states.own - 0.3 * rng.standard_normal(shape)))
    high = np.maximum(opening, close) * np.exp(length * (1 - tilt))
    low = np.minimum(opening, close) * np.exp(-length * tilt)
    base = rng.uniform(11.5, 14.5, shape[1])
    volume = np.exp(base + 0.5 * states.volume + 0.15 * rng.standard_normal(shape))
    prices = {"Open": opening, "High": high, "Low": low, "Close": close}
    return {name: np.maximum(value, 0.05).round(2) for name, value in prices.items()} | {
        "Volume": (volume / 100).round() * 100
    }


def lifetimes(rng: np.random.Generator, config: SampleMarketConfig) -> npt.NDArray[np.bool_]:
    """Which listing trades on which day [T, N]: some start late, some stop early, one leaves for half the time."""
    day = np.arange(config.sessions)[:, None]
    partial = rng.random(config.listings) < PARTIAL_FRACTION
    late = rng.random(config.listings) < 0.5
    moment = rng.integers(config.sessions // 10, config.sessions - config.sessions // 10, config.listings)
    first = np.where(partial & late, moment, 0)
    last = np.where(partial & ~late, moment, config.sessions)
    alive: npt.NDArray[np.bool_] = (day >= first) & (day < last)
    alive[config.sessions // 4 : -(config.sessions // 4), 0] = False
    return alive


def autoregression(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> Array:
    """Stationary AR(1) paths [T, N] of unit variance."""
    noise = rng.standard_normal(shape)
    path = np.empty(shape)
    path[0] = noise[0]
    for day in range(1, shape[0]):
        path[day] = memory * path[day - 1] + np.sqrt(1 - memory**2) * noise[day]
    return path


def geometric(memory: float, horizon: int) -> float:
    """What a unit AR(1) state promises over h sessions: 1 + memory + ... + memory^(h-1)."""
    return float(sum(memory**ahead for ahead in range(horizon)))


def fat(rng: np.random.Generator, shape: tuple[int, int], freedom: float = 5.0) -> Array:
    """Student-t noise of unit variance."""
    noise: Array = rng.standard_t(freedom, shape) * np.sqrt((freedom - 2) / freedom)
    return noise


def _long(
    dates: npt.NDArray[np.datetime64], codes: list[str], alive: npt.NDArray[np.bool_], columns: dict[str, Array]
) -> pl.DataFrame:
    """Stack [T, N] columns into rows sorted by Code and Date, for the days on which a listing trades."""
    column, day = np.nonzero(alive.T)
    frame = pl.DataFrame(
        {"Date": dates[day], "Code": column} | {name: value[day, column] for name, value in columns.items()}
    )
    return frame.with_columns(pl.lit(pl.Series(codes)).gather(pl.col("Code")).alias("Code"))
