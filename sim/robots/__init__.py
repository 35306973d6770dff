"""Arms from their URDF: capsules around the makers' meshes, and a description. Imports core alone."""
