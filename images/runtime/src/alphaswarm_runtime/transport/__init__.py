"""How messages travel between Redis and this process: where they are, who owns them, and what the broker must be."""
