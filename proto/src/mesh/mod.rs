//! Who carries which track to whom.
