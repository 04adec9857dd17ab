"""Search by HTTP: a JSON API, and a page that uses it."""
