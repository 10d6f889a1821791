"""The recorded flood, told in the terminal and shown on a page."""

__all__: list[str] = []
