//! The relay: rooms, subscriptions, forwarding, quotas.
