"""Brokers, access, mirroring: as code, started by one command."""
