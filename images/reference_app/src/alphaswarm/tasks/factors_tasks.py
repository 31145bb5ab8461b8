"""Factors: computed for a universe of symbols, tested against the following returns, and turned into weights."""

from typing import Any

import numpy as np
from celery import shared_task

from alphaswarm import market

HORIZON = 21  # trading days: a month


@shared_task
def build(symbols: list[str], days: int) -> dict[str, dict[str, float]]:
    """Return momentum, reversal and volatility of each symbol."""
    return {symbol: _factors(market.prices(symbol, days)) for symbol in symbols}


@shared_task
def test_alpha(symbols: list[str], days: int) -> dict[str, float]:
    """Return the rank correlation of each factor with the return of the following month."""
    prices = [market.prices(symbol, days) for symbol in symbols]
    factors = [_factors(series[:-HORIZON]) for series in prices]
    following = [float(series[-1] / series[-HORIZON - 1] - 1.0) for series in prices]
    return {
        name: float(np.corrcoef(_ranks([row[name] for row in factors]), _ranks(following))[0, 1]) for name in factors[0]
    }


@shared_task
def optimise_portfolio(symbols: list[str], days: int) -> dict[str, Any]:
    """Return the weights of minimum volatility, none above a half."""
    import pandas as pd
    from pypfopt import EfficientFrontier, risk_models

    table = pd.DataFrame({symbol: market.prices(symbol, days) for symbol in symbols})
    frontier = EfficientFrontier(None, risk_models.CovarianceShrinkage(table).ledoit_wolf(), weight_bounds=(0.0, 0.5))
    frontier.min_volatility()
    return {"weights": {name: float(weight) for name, weight in frontier.clean_weights().items()}}


def _factors(series: market.Prices) -> dict[str, float]:
    recent = series[-HORIZON:]
    return {
        "momentum": float(series[-HORIZON] / series[0] - 1.0),
        "reversal": float(1.0 - recent[-1] / recent[0]),
        "volatility": float(market.returns(recent).std()),
    }


def _ranks(values: list[float]) -> list[int]:
    return [int(rank) for rank in np.argsort(np.argsort(values))]
