//! The relay's descriptors: numbered, each naming the one before, renewed before they end.

use std::{net::SocketAddr, time::Duration};

use data_encoding::HEXLOWER;
use subrosa_proto::{
    identity::Identity,
    policy::{
        Descriptor, DescriptorError, SignedDescriptor,
        descriptor::{DescriptorHash, Limits, RELAY_PROTOCOL_VERSION, VALIDITY_SECONDS_MAX},
    },
    time::UnixSeconds,
    wire::relay_message::DescriptorBytes,
};
use tracing::warn;

use super::data_dir::RelayState;
use crate::relay_config::RelaySettings;

/// How long before its end a descriptor is renewed: half its validity, so that a line that somebody copied today works
/// for twelve hours at least.
pub(super) const RENEW_BEFORE: u64 = VALIDITY_SECONDS_MAX / 2;

/// What a relay's descriptors have in common as long as it runs.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) identity: Identity,
    pub(super) static_key: [u8; 32],
    /// Where the UDP socket is, for settings that name no public address.
    pub(super) bound: SocketAddr,
    /// Where its TCP listeners are.
    pub(super) tcp_bound: Vec<SocketAddr>,
}

impl Signer {
    /// Signs the descriptor that follows `state`, and gives the state after it.
    pub(super) fn next(
        &self,
        settings: &RelaySettings,
        state: &RelayState,
        now: UnixSeconds,
    ) -> Result<(SignedDescriptor, RelayState), DescriptorError> {
        let previous = state.previous.as_deref().and_then(|text| {
            let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
            Some(DescriptorHash(bytes.try_into().ok()?))
        });
        // A relay that lost its count goes on with the Unix time.
        let sequence = if previous.is_some() {
            state.sequence.saturating_add(1)
        } else {
            now.0
        };
        let valid_until = now.after(Duration::from_secs(VALIDITY_SECONDS_MAX));
        if let Some(family) = settings
            .family
            .as_ref()
            .filter(|of| of.valid_until() < valid_until)
        {
            warn!(until = %family.valid_until(), "the family's signature ends: the descriptor leaves the family out; sign a new one");
        }
        let descriptor = Descriptor {
            sequence,
            previous,
            valid_from: now,
            ..self.statement(settings, valid_until)
        };
        let signed = SignedDescriptor::sign(descriptor, &self.identity)?;
        let hash = signed.clone().verify(now)?.hash();
        let state = RelayState {
            sequence,
            previous: Some(HEXLOWER.encode(&hash.0)),
            ..state.clone()
        };
        Ok((signed, state))
    }

    /// What the settings say until then, without number and beginning.
    fn statement(&self, settings: &RelaySettings, valid_until: UnixSeconds) -> Descriptor {
        let limit = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let addresses = if settings.public_addresses.is_empty() {
            vec![self.bound]
        } else {
            settings.public_addresses.clone()
        };
        let tcp_addresses = if settings.public_tcp_addresses.is_empty() {
            self.tcp_bound.clone()
        } else {
            settings.public_tcp_addresses.clone()
        };
        Descriptor {
            relay: self.identity.relay_id(),
            static_key: self.static_key,
            addresses,
            tcp_addresses,
            asn: settings.asn,
            hosting: settings.hosting,
            operator: settings.operator.clone(),
            family: settings
                .family
                .clone()
                .filter(|of| of.valid_until() >= valid_until),
            log_policy: settings.log_policy,
            limits: Limits {
                sessions_max: limit(settings.limits.sessions_max),
                rooms_max: limit(settings.limits.rooms_max),
                session_kbit_per_s_max: u32::try_from(settings.limits.session_media.bits_per_second / 1_000)
                    .unwrap_or(u32::MAX),
            },
            attestations: settings.attestations.clone(),
            protocol_version: RELAY_PROTOCOL_VERSION,
            sequence: 0,
            previous: None,
            valid_from: UnixSeconds(0),
            valid_until,
        }
    }

    /// Whether the settings say something else than `signed` does.
    pub(super) fn differs(&self, signed: &SignedDescriptor, settings: &RelaySettings) -> bool {
        let old = signed.unverified();
        let new = Descriptor {
            sequence: old.sequence,
            previous: old.previous,
            valid_from: old.valid_from,
            ..self.statement(settings, old.valid_until)
        };
        *old != new
    }
}

/// As it travels.
pub(super) fn descriptor_bytes(signed: &SignedDescriptor) -> DescriptorBytes {
    // The descriptor's own bounds keep it below half of DESCRIPTOR_BYTES_MAX.
    signed.to_bytes().try_into().unwrap_or_default()
}
