"""Engines that run a compiled rule. PostgreSQL is the one every installation has."""
