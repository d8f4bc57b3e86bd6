"""Speed and memory beside peers, each a whole process on one upstream. `make bench` runs it; RESULTS.md is what came out."""
