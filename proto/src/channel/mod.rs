//! Pairwise secure channel between two members.
