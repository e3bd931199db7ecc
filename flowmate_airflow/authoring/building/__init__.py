"""Images for components that have none: of a Node folder, or of a package by name and version."""
