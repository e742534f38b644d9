//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

mod a_relay_is_blind;
mod a_wrong_ticket_fails;
mod cli_meeting;
mod cli_relay;
mod cli_usage;
mod demo;
mod documentation;
mod keys_follow_the_roster;
mod members_hear_each_other;
mod support;
mod the_port_is_silent;
