"""What is particular to one source, beyond the conformance that all of them pass."""
