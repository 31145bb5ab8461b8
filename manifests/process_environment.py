"""What libraries in a worker's process are told: how many threads they may start, and where their caches are.

Each of them starts a thread per core of the node, whatever the container's limit: four processes on a node of 64 cores
would start 256 threads each time they compute. And each keeps its cache below the home folder, on a read-only root, or
in /tmp, whose overrun evicts the pod.
"""

from collections.abc import Mapping
from typing import Final

from config.volumes import CACHE_DIRECTORY

# Arrow's compute pool and torch ask OpenMP's variable, tokenizers and Polars' Rust parts ask Rayon's.
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
CACHES: Final[Mapping[str, str]] = {
    "XDG_CACHE_HOME": CACHE_DIRECTORY,
    "HF_HOME": f"{CACHE_DIRECTORY}/huggingface",
    "TORCH_HOME": f"{CACHE_DIRECTORY}/torch",
    "MPLCONFIGDIR": f"{CACHE_DIRECTORY}/matplotlib",
    "NUMBA_CACHE_DIR": f"{CACHE_DIRECTORY}/numba",
    "RAY_TMPDIR": f"{CACHE_DIRECTORY}/ray",
}


def thread_variables(count: int) -> Mapping[str, str]:
    """Return the variables that allow each library `count` threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(count))
