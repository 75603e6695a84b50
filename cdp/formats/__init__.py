"""How dates and times are written on Django's stock screens; our own use the template filters of `cdp.templatetags`."""
