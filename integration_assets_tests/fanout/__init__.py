"""Streams that are asked for parent by parent."""
