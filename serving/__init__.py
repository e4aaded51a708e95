"""The encoder server, and the HTTP guards that it shares with the investigator."""
