"""Shadow runs, and cutting over."""
