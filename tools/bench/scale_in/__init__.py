"""Measures which pods a scale-in takes, by the real ReplicaSet controller."""
