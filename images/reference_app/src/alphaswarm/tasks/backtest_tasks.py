"""Back-tests of a moving-average crossing: one pair of windows, or a sweep over many."""

from typing import Any

import numpy as np
from celery import shared_task

from alphaswarm import market


@shared_task
def moving_average(symbol: str, days: int, fast: int, slow: int) -> dict[str, Any]:
    """Back-test holding the symbol while its fast mean is above its slow one."""
    if not 0 < fast < slow < days:
        raise ValueError(f"windows must satisfy 0 < fast < slow < days, got {fast}, {slow} and {days}")
    series = market.prices(symbol, days)
    signal = _mean(series, fast)[slow - fast :] > _mean(series, slow)
    gained = market.returns(series[slow - 1 :]) * signal[:-1]  # the signal of a day earns the next day's return
    equity = np.cumprod(1.0 + gained)
    spread = float(gained.std())
    return {
        "symbol": symbol,
        "fast": fast,
        "slow": slow,
        "return": float(equity[-1] - 1.0),
        "sharpe": float(gained.mean() / spread * np.sqrt(market.TRADING_DAYS)) if spread else 0.0,
        "drawdown": float((1.0 - equity / np.maximum.accumulate(equity)).max()),
        "trades": int(np.abs(np.diff(signal.astype(int))).sum()),
    }


@shared_task
def sweep(symbol: str, days: int, windows: list[tuple[int, int]]) -> dict[str, Any]:
    """Back-test every pair of windows in parallel with Dask, and return the best by Sharpe ratio."""
    import dask

    # This process is one of Celery's pool and may have no children of its own: threads.
    tests = [dask.delayed(moving_average)(symbol, days, fast, slow) for fast, slow in windows]
    results: tuple[dict[str, Any], ...] = dask.compute(*tests, scheduler="threads")
    return max(results, key=lambda result: result["sharpe"])


def _mean(series: market.Prices, window: int) -> market.Prices:
    return np.convolve(series, np.full(window, 1.0 / window), mode="valid")
