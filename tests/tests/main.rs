//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

mod cli_usage;
mod support;
