"""Find people again: thresholds, galleries, search, identities across cameras."""
