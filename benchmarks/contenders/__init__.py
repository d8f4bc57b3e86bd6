"""One script a contender: it takes an upstream and a folder, pulls, and prints what it did as one line of JSON."""
