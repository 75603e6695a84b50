"""The platform: profiles, events, identity, consent's neighbours and the plumbing that carries them."""
