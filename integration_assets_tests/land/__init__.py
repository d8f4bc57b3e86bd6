"""Tests of where rows land."""
