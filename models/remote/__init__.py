"""An encoder that runs elsewhere: what its server says of itself, the client, and the encoder around both."""
