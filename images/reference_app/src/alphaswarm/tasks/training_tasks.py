"""Training: reinforcement-learning rollouts, and finetuning of a small network that resumes at its checkpoint."""

from typing import Any

import numpy as np
from celery import shared_task

from alphaswarm import market, storage

BATCH, ELITE = 32, 8
LOOKBACK = 5


@shared_task
def rollout(symbol: str, days: int, generations: int, seed: int = 0) -> dict[str, float]:
    """Improve a linear trading policy by the cross-entropy method, and return the first and last best reward."""
    gains = market.returns(market.prices(symbol, days))
    views = np.lib.stride_tricks.sliding_window_view(gains, LOOKBACK)[:-1]
    following = gains[LOOKBACK:]
    rng = np.random.default_rng(seed)
    centre, spread = np.zeros(LOOKBACK), np.ones(LOOKBACK)
    best: list[float] = []
    for _ in range(generations):
        policies = rng.normal(centre, spread, (BATCH, LOOKBACK))
        rewards = np.tanh(policies @ views.T * 100.0) @ following
        elite = policies[np.argsort(rewards)[-ELITE:]]
        centre, spread = elite.mean(axis=0), elite.std(axis=0) + 1e-3
        best.append(float(rewards.max()))
    return {"first": best[0], "last": best[-1]}


@shared_task
def finetune(symbol: str, days: int, steps: int) -> dict[str, Any]:
    """Train a network to predict the next return; a run that was stopped early resumes at its checkpoint."""
    torch = _torch()
    gains = torch.tensor(market.returns(market.prices(symbol, days)), dtype=torch.float32)
    views, following = gains.unfold(0, LOOKBACK, 1)[:-1], gains[LOOKBACK:]
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(LOOKBACK, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    checkpoint = storage.models() / f"finetune-{symbol}.pt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    completed = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(saved["network"])
        completed = saved["steps"]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses: list[float] = []
    for number in range(completed, steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(views).squeeze(1), following)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        partial = checkpoint.with_suffix(".partial")
        torch.save({"network": network.state_dict(), "steps": number + 1}, partial)
        partial.replace(checkpoint)
    return {"resumed_at": completed, "steps": max(completed, steps), "losses": losses[-3:]}


def _torch() -> Any:  # noqa: ANN401 an extra
    try:
        import torch
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "this image has no torch: PyTorch's own index could not be reached when it was built, and its label "
            "io.alphaswarm.left-out says so. Build it where https://download.pytorch.org/whl/cpu can be reached"
        ) from error
    return torch
