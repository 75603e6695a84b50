"""Screens of the admin that draw on several apps: the frame, Home, People and API keys. A screen of one app stands in that app."""
