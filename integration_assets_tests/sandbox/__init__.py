"""Tests of the sandbox, against a real server process over loopback."""
