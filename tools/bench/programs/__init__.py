"""Programs that the bench runs: two that ours is compared with, and one that runs a program without an engine."""
