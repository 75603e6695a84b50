"""No models: the views are `cdp.bi.views`. Django tells only apps that have this module when migrations begin and end."""
