"""Webhooks: other systems are told what happens to the people of audiences, signed, in order, and again until they took it."""
