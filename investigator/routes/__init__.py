"""What can be asked of the server, by subject; each file ends in its list of routes."""
