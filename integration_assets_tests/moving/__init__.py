"""An upstream that changes while it is read."""
