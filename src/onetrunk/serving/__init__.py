"""Apps over HTTP: the service, and the client that calls it."""
