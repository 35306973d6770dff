"""Interchange with LEAPP, which exports policies as pipelines of graphs. Needs no package of its name."""
