"""The page of `pmm link`."""
