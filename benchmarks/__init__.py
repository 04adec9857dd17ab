"""Measurements: each module prints one table or one JSON object; none is part of the test run."""
