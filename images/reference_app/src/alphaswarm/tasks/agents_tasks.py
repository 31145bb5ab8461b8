"""Agent runs: a loop that chooses a tool, calls it and reads its answer, with a limit of steps. The tools are local."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from celery import shared_task

from alphaswarm import market

Tool = Callable[[market.Prices], float]

TOOLS: dict[str, Tool] = {
    "momentum": lambda series: float(series[-1] / series[0] - 1.0),
    "volatility": lambda series: float(market.returns(series).std() * np.sqrt(market.TRADING_DAYS)),
    "drawdown": lambda series: float((1.0 - series / np.maximum.accumulate(series)).max()),
}


@shared_task
def run(symbol: str, days: int, max_steps: int = 8, think_seconds: float = 0.0) -> dict[str, Any]:
    """Call tools until the evidence is complete or the steps are used up. A model would take `think_seconds` a step."""
    series = market.prices(symbol, days)
    evidence: dict[str, float] = {}
    for _ in range(max_steps):
        missing = [name for name in TOOLS if name not in evidence]
        if not missing:
            break
        time.sleep(think_seconds)
        evidence[missing[0]] = TOOLS[missing[0]](series)
    complete = len(evidence) == len(TOOLS)
    good = complete and evidence["momentum"] > 0 and evidence["drawdown"] < evidence["volatility"]
    return {"symbol": symbol, "evidence": evidence, "advice": "hold" if not complete else "buy" if good else "sell"}
