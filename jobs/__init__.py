"""The runtimes and the command line: the only room that knows all others."""
