//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

mod cli_meeting;
mod cli_relay;
mod cli_usage;
mod demo;
mod documentation;
mod support;
