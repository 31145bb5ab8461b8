"""Programs that the bench runs: what ours is compared with, and how a program runs without an engine."""
