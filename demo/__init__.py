"""What the platform is tried out with: a simulated shop, the public CDNOW purchase log, and the check of the main job.

Nothing of the platform imports this package; a production site leaves it out of INSTALLED_APPS.
"""
