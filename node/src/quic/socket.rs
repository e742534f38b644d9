//! A UDP socket that drops, ahead of the QUIC endpoint, what a stranger sends.

/// Datagrams that were not handed to the endpoint, since the socket was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Initials that show no knowledge of a key.
    pub strangers: u64,
    /// Initials with a valid tag that were seen before.
    pub replays: u64,
    /// Packets of a version that we do not speak.
    pub versions: u64,
}
