"""Errors of the engine.

LinkageError (Exception)
├── DeclarationError (ValueError)   a linkage is declared against the rules
└── BatchError (ValueError)         a runtime handed over a batch that the engine cannot take
"""

__all__ = ["BatchError", "DeclarationError", "LinkageError"]


class LinkageError(Exception):
    """Something about a linkage is wrong."""


class DeclarationError(LinkageError, ValueError):
    """A linkage is declared against the rules."""


class BatchError(LinkageError, ValueError):
    """A runtime handed over a batch that the engine cannot take."""
