"""Networks and encoders; they know nothing of the floors above them."""
