"""The contract of design: every linkage on every runtime, under random arrival scripts."""
