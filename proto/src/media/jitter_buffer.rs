//! Frames in order, and what to do for each frame interval.
