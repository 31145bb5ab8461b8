"""What the fleet's program costs, as ratios taken in one run: `python -m tools.bench`."""
