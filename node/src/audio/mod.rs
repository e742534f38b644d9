//! Audio: devices, Opus, mixing.
