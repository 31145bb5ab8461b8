"""A small AlphaSwarm: what the fleet runs until it is pointed at the platform itself."""
