"""Progressive Multi-stage Feature Mix for person re-identification, in JAX."""
