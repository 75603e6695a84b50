"""Proof bundles: what shows an outsider what somebody had consented to. How one is checked is in `cdp.audit.check_proof`."""
