"""People's own pages, reached by signed links: their preference centre, confirming a yes, unsubscribing; and their mail."""
