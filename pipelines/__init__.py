"""What is said, and why: the linkages and the engine that runs them. Imports no broker, no runtime, no file system."""
