"""Screens of the admin that draw on several apps: the frame, Home and People. A screen of one app stands in that app."""
