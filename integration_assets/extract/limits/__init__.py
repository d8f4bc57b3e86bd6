"""What all runs share of an API: its rate, its slots, its quota, its pauses, the retry budget and the circuit breaker.

`state` is the shared document, `rules` and `fuse` are what becomes of it, a `store` keeps it for one machine or for many, and
`limiter` is one client's way in.
"""

from integration_assets.extract.limits.limiter import Limiter
from integration_assets.extract.limits.store import MemoryStore, Store, open_store
from integration_assets.extract.limits.view import LimitsView, view, views

__all__ = ["Limiter", "LimitsView", "MemoryStore", "Store", "open_store", "view", "views"]
