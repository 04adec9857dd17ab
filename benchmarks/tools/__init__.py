"""Files that are made once and kept: the README's figure."""
