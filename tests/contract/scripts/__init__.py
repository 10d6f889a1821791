"""Arrival scripts, one module for each linkage, named after it."""
