"""One schema registry on this machine, without Docker."""

from infra.registry.registry import Registry, RegistryServerError, RegistrySettings

__all__ = ["Registry", "RegistryServerError", "RegistrySettings"]
