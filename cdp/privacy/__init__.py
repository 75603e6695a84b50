"""Privacy requests: what people ask for of their own data, by when it is due, and what was done, target by target."""
