"""What is written from the catalogue for readers that do not run the program: Kustomize, editors, images, people.

`python -m surfaces` writes all of it, `python -m surfaces --check` says what is stale.
"""
