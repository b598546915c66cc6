"""Programs as data: capture a function as a graph of primitives, rewrite it, differentiate it, evaluate it."""
