"""Retrieval: documents are stored with an embedding that needs no model, and searched by it.

Words are hashed into a fixed number of dimensions, so that texts with common words point in similar directions.
"""

import hashlib
import json
import re
from typing import Any

import numpy as np
from celery import shared_task
from numpy.typing import NDArray

from alphaswarm import storage

DIMENSIONS = 256


@shared_task
def ingest(documents: dict[str, str]) -> int:
    """Store the documents by name, and return how many there are now."""
    for name, text in documents.items():
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        storage.replace(storage.data() / "rag" / f"{key}.json", json.dumps({"name": name, "text": text}).encode())
    return int(refresh_embeddings()["documents"])


@shared_task
def refresh_embeddings() -> dict[str, int]:
    """Recompute the embeddings of all documents."""
    documents = _documents()
    table = {document["name"]: _embed(document["text"]).tolist() for document in documents}
    storage.replace(storage.data() / "rag-index.json", json.dumps(table).encode())
    return {"documents": len(table)}


@shared_task
def search(question: str, most: int = 3) -> list[str]:
    """Return the names of the documents nearest to the question, best first."""
    index = storage.data() / "rag-index.json"
    table: dict[str, list[float]] = json.loads(index.read_text()) if index.exists() else {}
    query = _embed(question)
    return sorted(table, key=lambda name: -float(np.dot(table[name], query)))[:most]


def _documents() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((storage.data() / "rag").glob("*.json"))]


def _embed(text: str) -> NDArray[np.float64]:
    vector = np.zeros(DIMENSIONS)
    for word in re.findall(r"\w+", text.lower()):
        vector[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % DIMENSIONS] += 1.0
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector
