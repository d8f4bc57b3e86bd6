"""The gate: which rows may go on, and why the others may not."""
