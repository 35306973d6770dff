"""The program `spillguard`: one table of commands of all packages."""
