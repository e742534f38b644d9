//! Who carries which track to whom: the state of links, and the choice of paths.

pub mod link;
pub mod relay_session;
pub mod route;
