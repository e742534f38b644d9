//! Jurisdiction: descriptors, route policies, permits.
