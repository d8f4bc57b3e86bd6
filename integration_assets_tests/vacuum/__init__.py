"""Small files joined, and files deleted that nothing needs."""
