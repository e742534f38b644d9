//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

mod a_lost_node_is_replaced;
mod a_relay_carries_media_and_envelopes_between_two_members;
mod a_relay_is_blind;
mod a_wrong_ticket_fails;
mod bad_input_is_explained;
mod cli_meeting;
mod cli_relay;
mod cli_usage;
mod demo;
mod documentation;
mod keys_follow_the_roster;
mod members_hear_each_other;
mod relay_access;
mod relay_descriptor;
mod relay_is_observed;
mod relay_limits;
mod relay_package;
mod relay_reload_and_drain;
mod relay_settings;
mod support;
mod tampering_is_noticed;
mod the_policy_decides_the_way;
mod the_port_is_silent;
mod those_in_charge_decide;
