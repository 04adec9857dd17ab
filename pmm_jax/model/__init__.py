"""The network: trunk, part block and stage heads, as functions of explicit parameters."""
