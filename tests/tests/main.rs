//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

mod cli_meeting;
mod cli_usage;
mod members_hear_each_other;
mod support;
