"""HTTP to Arrow batches, over real servers on loopback."""
