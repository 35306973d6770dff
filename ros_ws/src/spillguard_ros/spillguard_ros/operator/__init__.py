"""Operator interfaces: the command line and the page. Imports node and below."""
