"""A market that needs no network: daily prices by geometric Brownian motion, the same for the same symbol."""

import zlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Prices: TypeAlias = NDArray[np.float64]

TRADING_DAYS = 252
YEARLY_DRIFT = 0.06
YEARLY_VOLATILITY = 0.2


def prices(symbol: str, days: int) -> Prices:
    """Return the closing prices of so many days; the first is 100."""
    rng = np.random.default_rng(zlib.crc32(symbol.encode()))
    drift = (YEARLY_DRIFT - YEARLY_VOLATILITY**2 / 2) / TRADING_DAYS
    steps = rng.normal(drift, YEARLY_VOLATILITY / np.sqrt(TRADING_DAYS), days - 1)
    return np.asarray(100.0 * np.exp(np.concatenate(([0.0], np.cumsum(steps)))))


def returns(series: Prices) -> Prices:
    """Return the simple return of each day but the first."""
    return np.asarray(series[1:] / series[:-1] - 1.0)
