"""Machine learning: a predictor of the next move, a forecast, and an anomaly detector."""

from typing import Any

import numpy as np
from celery import shared_task

from alphaswarm import market, storage

LAGS = 5


@shared_task
def refresh_predictor(symbol: str, days: int) -> dict[str, float]:
    """Fit gradient boosting on lagged returns, store the model, and return its accuracy on the last fifth."""
    from xgboost import XGBClassifier

    gains = market.returns(market.prices(symbol, days))
    views = np.lib.stride_tricks.sliding_window_view(gains, LAGS)[:-1]
    rises = (gains[LAGS:] > 0).astype(int)
    split = len(rises) * 4 // 5
    model = XGBClassifier(n_estimators=40, max_depth=3, n_jobs=1, random_state=0).fit(views[:split], rises[:split])
    storage.replace(storage.models() / f"predictor-{symbol}.ubj", bytes(model.get_booster().save_raw("ubj")))
    accuracy = (model.predict(views[split:]) == rises[split:]).mean()
    return {"accuracy": float(accuracy), "samples": float(len(rises))}


@shared_task
def forecast(symbol: str, days: int, ahead: int) -> list[float]:
    """Forecast prices with exponential smoothing."""
    from sktime.forecasting.naive import NaiveForecaster
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    series = market.prices(symbol, days)
    smooth = ExponentialSmoothing(series, trend="add").fit().forecast(ahead)
    drift = NaiveForecaster(strategy="drift").fit(series).predict(fh=range(1, ahead + 1))
    return [float(value) for value in (np.asarray(smooth) + np.asarray(drift).ravel()) / 2]


@shared_task
def detect_anomalies(symbol: str, days: int, share: float = 0.02) -> dict[str, Any]:
    """Return the days whose return is an outlier, by an isolation forest."""
    from pyod.models.iforest import IForest

    gains = market.returns(market.prices(symbol, days)).reshape(-1, 1)
    detector = IForest(contamination=share, n_estimators=50, random_state=0).fit(gains)
    return {"symbol": symbol, "days": [int(day) + 1 for day in np.flatnonzero(detector.labels_)]}
