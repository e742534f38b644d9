//! How long frames wait before they are played.
