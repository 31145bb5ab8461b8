"""How messages travel between Redis and this process: `keys`, `scripts`, `ledger`, and kombu's side in `channel`."""
