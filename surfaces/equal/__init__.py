"""`python -m surfaces equal`: whether every committed surface assigns each queue alike, read back from the files.

The readers share no code with the writers: a mistake that both made would not be found otherwise.
"""
