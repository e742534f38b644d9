//! Which key message still has to reach whom.
