//! Lost packets and how they cluster.
