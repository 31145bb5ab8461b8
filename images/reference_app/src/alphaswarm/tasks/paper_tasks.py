"""Paper trading: one step of a loop that must answer within a second."""

from celery import shared_task

WINDOW = 20
STAKE = 0.1  # of the cash, a trade


@shared_task
def step(recent: list[float], cash: float, shares: float) -> dict[str, float | str]:
    """Buy below the mean of the recent prices, sell above it, and return the new holdings."""
    price = recent[-1]
    window = recent[-WINDOW:]
    mean = sum(window) / len(window)
    if price < mean:
        bought = cash * STAKE / price
        return {"order": "buy", "cash": cash * (1 - STAKE), "shares": shares + bought}
    if price > mean and shares:
        sold = shares * STAKE
        return {"order": "sell", "cash": cash + sold * price, "shares": shares - sold}
    return {"order": "hold", "cash": cash, "shares": shares}
