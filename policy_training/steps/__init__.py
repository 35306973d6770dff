"""Policy updates: Lagrangians, trust regions, meta-gradients. Imports estimates and below."""
