"""Real servers on loopback that stand where a cloud account's would: Redis, an image registry, AWS."""
