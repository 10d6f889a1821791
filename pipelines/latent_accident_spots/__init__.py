"""Places that are dangerous before the accident statistics say so: accidents, near misses, and what follows from them."""
