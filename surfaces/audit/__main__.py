"""`python -m surfaces.audit PATH`: the same as `python -m surfaces audit PATH`, for a copy of this package alone."""

import sys

from surfaces.audit.command import main

if __name__ == "__main__":
    sys.exit(main())
