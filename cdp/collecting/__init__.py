"""How decisions come in from other systems: over REST one by one, and as files of many. What they mean is `consent`'s to say."""
