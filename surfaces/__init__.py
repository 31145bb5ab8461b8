"""Generated files: what is written from the catalogue for Kustomize, editors, the images and people.

`python -m surfaces` writes all of it, `python -m surfaces --check` says what is stale.
"""
