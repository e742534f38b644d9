//! Removing or adding a little time without a click (WSOLA).
