"""A vector store written from docs/extending.md alone: its scores are those of a matrix product."""

import numpy as np


class Store:
    def __init__(self, dim):
        self.dim = dim
        self.rows = {}

    def __len__(self):
        return len(self.rows)

    def add(self, keys, vectors):
        if vectors.shape != (len(keys), self.dim):
            raise ValueError("keys need vectors of the right shape")
        keys = keys.tolist()
        if len(set(keys)) < len(keys) or min(keys, default=0) < 0 or set(keys) & set(self.rows):
            raise ValueError("keys must be new")
        self.rows.update(zip(keys, vectors.astype(np.float32), strict=True))

    def remove(self, keys):
        return sum(self.rows.pop(key, None) is not None for key in set(keys.tolist()))

    def search(self, queries, k, allowed=None):
        chosen = sorted(self.rows if allowed is None else set(self.rows) & set(allowed.tolist()), reverse=True)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        keys = np.full((len(queries), k), -1, dtype=np.int64)
        if chosen:
            products = queries @ np.stack([self.rows[key] for key in chosen]).T
            order = np.argsort(-products, axis=1, kind="stable")[:, :k]
            scores[:, : order.shape[1]] = np.take_along_axis(products, order, axis=1)
            keys[:, : order.shape[1]] = np.asarray(chosen)[order]
        return scores, keys

    def holds(self, keys):
        return np.asarray([key in self.rows for key in keys.tolist()], dtype=bool)

    def vectors(self, keys):
        return np.stack([self.rows[key] for key in keys.tolist()]) if len(keys) else np.empty((0, self.dim), np.float32)

    def first(self):
        return min(self.rows, default=-1)

    def save(self, path):
        with path.open("wb") as file:
            np.savez(file, dim=self.dim, keys=list(self.rows), vectors=self.vectors(np.asarray(list(self.rows))))

    @classmethod
    def open(cls, path, *, mapped=False):
        with np.load(path) as arrays:
            store = cls(int(arrays["dim"]))
            store.add(arrays["keys"].astype(np.int64), arrays["vectors"])
        return store
