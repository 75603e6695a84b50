"""Keys of one person each: what is sealed under somebody's key is gone from everywhere once that key is destroyed.

Who seals what is decided by the apps above; what a destroyed key means for a privacy request, in `cdp.privacy`.
"""
