"""The screens of segments, one module each; their addresses are in `segments.admin`, what they change is in the services."""
