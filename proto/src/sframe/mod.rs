//! End to end: SFrame (RFC 9605), key schedule, replay window, source authentication.
