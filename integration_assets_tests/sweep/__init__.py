"""Key sweeps: what an API only stops listing goes, what looks incomplete is refused, and nothing else is touched."""
