//! Hop by hop: Noise-encrypted QUIC (quinn-proto's crypto session over snow).
