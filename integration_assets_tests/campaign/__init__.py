"""Runs that are killed, raced and starved at every point there is; afterwards nothing is lost and nothing is doubled."""
