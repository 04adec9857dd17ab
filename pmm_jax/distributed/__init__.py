"""Several devices and several processes: meshes, and what processes agree on."""
