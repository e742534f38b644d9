//! What `subrosa-sim` can be told to do.

pub(crate) mod bench;
pub(crate) mod cost;
pub(crate) mod explain;
pub(crate) mod fuzz;
pub(crate) mod run;
pub(crate) mod sweep;
