"""For those who bring connectors: manifests written from what is there, images built, images examined."""
