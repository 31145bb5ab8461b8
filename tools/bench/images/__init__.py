"""What the two images cost, as ratios taken in one run: `python -m tools.bench.images`."""
