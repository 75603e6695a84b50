"""Files of people for static lists: uploaded, looked at, matched and applied, and forgotten."""
