//! The chain of one generation, and the keys that hang from it.
