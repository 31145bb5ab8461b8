"""Sends periodic tasks: beat, one at a time."""
