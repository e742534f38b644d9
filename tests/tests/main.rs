//! Behaviour tests of Subrosa over real sockets and real processes: one binary, one module per subject.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod a_guest_has_no_power;
mod a_lost_node_is_replaced;
mod a_partition_heals;
mod a_relay_carries_media_and_envelopes_between_two_members;
mod a_relay_is_blind;
mod a_wrong_ticket_fails;
mod an_equivocator_is_put_out;
mod bad_input_is_explained;
mod cli_meeting;
mod cli_relay;
mod cli_usage;
mod demo;
mod discovery_finds_a_host_that_moved;
mod discovery_interop;
mod discovery_lan;
mod discovery_network;
mod discovery_relays;
mod documentation;
mod ghosts_are_named;
mod keys_follow_the_roster;
mod members_behind_nats;
mod members_change_networks;
mod members_converse;
mod members_hear_each_other;
mod members_send_files;
mod nobody_is_silently_deaf;
mod people_are_recognised;
mod relay_access;
mod relay_container;
mod relay_descriptor;
mod relay_is_observed;
mod relay_limits;
mod relay_package;
mod relay_reload_and_drain;
mod relay_settings;
mod relays_carry_for_each_other;
mod support;
mod tampering_is_noticed;
mod the_door_is_watched;
mod the_meeting_outlives_its_host;
mod the_policy_decides_the_way;
mod the_port_is_silent;
mod those_in_charge_ask;
mod those_in_charge_decide;
