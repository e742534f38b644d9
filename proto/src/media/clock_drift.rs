//! The sender's clock against ours.
