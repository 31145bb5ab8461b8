"""Retrieval: documents are kept with an embedding that needs no model, and found again by it.

Words are hashed into a fixed number of places, so that texts with common words point in similar directions.
"""

import hashlib
import json
import re
from typing import Any

import numpy as np
from celery import shared_task
from numpy.typing import NDArray

from alphaswarm import storage

PLACES = 256


@shared_task
def ingest(documents: dict[str, str]) -> int:
    """Keep the documents, each under its name; returns how many there are now."""
    for name, text in documents.items():
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        storage.replace(storage.data() / "rag" / f"{key}.json", json.dumps({"name": name, "text": text}).encode())
    return int(refresh_embeddings()["documents"])


@shared_task
def refresh_embeddings() -> dict[str, int]:
    """Compute the embeddings of all documents anew."""
    documents = _documents()
    table = {document["name"]: _embed(document["text"]).tolist() for document in documents}
    storage.replace(storage.data() / "rag-index.json", json.dumps(table).encode())
    return {"documents": len(table)}


@shared_task
def search(question: str, most: int = 3) -> list[str]:
    """The names of the documents nearest to the question, best first."""
    index = storage.data() / "rag-index.json"
    table: dict[str, list[float]] = json.loads(index.read_text()) if index.exists() else {}
    wanted = _embed(question)
    return sorted(table, key=lambda name: -float(np.dot(table[name], wanted)))[:most]


def _documents() -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((storage.data() / "rag").glob("*.json"))]


def _embed(text: str) -> NDArray[np.float64]:
    places = np.zeros(PLACES)
    for word in re.findall(r"\w+", text.lower()):
        places[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % PLACES] += 1.0
    length = float(np.linalg.norm(places))
    return places / length if length else places
