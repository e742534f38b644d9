//! Who carries which track to whom: the state of links, and the choice of paths.

pub mod hole_punch;
pub mod link;
pub mod queueing;
pub mod relay_session;
pub mod route;
pub mod route_planner;
