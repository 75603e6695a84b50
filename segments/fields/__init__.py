"""What is known of the fields that rules speak of: how many people have them, how their values lie, and how one is found.

Rules themselves are in `segments.rules`; whoever writes one sees these figures beside what they choose.
"""
