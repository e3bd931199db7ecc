"""Puts this folder on the path: `played` is for the tests of several packages."""
