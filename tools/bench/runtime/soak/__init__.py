"""Does to workers what happens to pods, while tasks run, and counts what becomes of the tasks."""
