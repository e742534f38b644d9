//! Sessions: welcomed or refused, and forgotten.

use std::net::SocketAddr;

use crate::{
    ids::RoomId,
    relay::{
        limits::SESSION_BYTES,
        machine::{CloseReason, Relay},
        quota::BlockQuota,
        session::{AddressBlock, Leg, Origin, Session, SessionId},
        stats::DropReason,
    },
    time::Now,
    wire::relay_message::{Refusable, RefusalCode, RelayNotice},
};

impl Relay {
    /// A client's handshake finished. It is welcomed, or refused and closed.
    pub fn handle_session_up(&mut self, now: Now, id: SessionId, origin: impl Into<Origin>) {
        let origin = origin.into();
        self.roll_month(now);
        self.handle_session_down(now, id);
        self.stats.sessions_total += 1;
        let refusal = self.may_come(origin);
        let slot = id.0 as usize;
        if self.sessions.len() <= slot {
            self.sessions.resize_with(slot + 1, || None);
        }
        let listed = origin.identity.filter(|relay| self.cascade.allows(*relay));
        let leg = listed.map_or(Leg::Client, Leg::Downstream);
        self.sessions[slot] = Some(Box::new(Session::new(now.monotonic, origin, leg, &self.limits)));
        self.welcome(id);
        if let Err((code, detail)) = refusal {
            self.refuse(id, Refusable::Session, code, &detail);
            self.redirect(id, RoomId([0; 16]));
            self.close(id, CloseReason::Refused);
        } else {
            self.admit(now, id, origin.block);
        }
    }

    fn may_come(&self, origin: Origin) -> Result<(), (RefusalCode, String)> {
        let sessions = self.sessions.iter().flatten();
        let live = sessions.filter(|s| s.closing.is_none()).count();
        let in_block = self.blocks.get(&origin.block).map_or(0, BlockQuota::sessions);
        if self.is_draining() {
            return Err((RefusalCode::Draining, "this relay is about to end".into()));
        }
        if !self.access.open && !origin.listed && self.access.issuers.is_empty() {
            let detail = "this relay serves other addresses only".into();
            return Err((RefusalCode::AddressNotAllowed, detail));
        }
        if live >= self.limits.sessions_max {
            let detail = format!("this relay serves at most {} sessions", self.limits.sessions_max);
            return Err((RefusalCode::SessionsFull, detail));
        }
        let block_max = self.limits.sessions_per_address_block_max;
        if in_block >= block_max {
            let detail = format!("this relay serves at most {block_max} sessions from one address block");
            return Err((RefusalCode::AddressBlockFull, detail));
        }
        if self.memory_used() + SESSION_BYTES > self.limits.memory_bytes_max {
            return Err((RefusalCode::MemoryFull, "this relay's memory is used up".into()));
        }
        Ok(())
    }

    fn admit(&mut self, now: Now, id: SessionId, block: AddressBlock) {
        if let Some(session) = self.session(id) {
            session.admitted = true;
        }
        self.admitted += 1;
        let rate = self.limits.address_block_media;
        self.blocks
            .entry(block)
            .or_insert_with(|| BlockQuota::new(rate, now.monotonic))
            .add_session();
    }

    fn welcome(&mut self, id: SessionId) {
        let welcome = RelayNotice::Welcome {
            descriptor: self.descriptor.clone(),
            limits: self.limits.session(),
        };
        self.notify(id, &welcome);
    }

    /// Where a session's packets come from: told to it, kept nowhere.
    pub fn handle_session_seen_at(&mut self, id: SessionId, address: SocketAddr) {
        let address = address.into();
        self.notify(id, &RelayNotice::Observed { address });
    }

    /// Tells every session descriptor and limits anew: its meeting's policy may no longer permit what they say.
    pub(super) fn announce_state(&mut self) {
        for id in self.session_ids() {
            self.welcome(id);
        }
    }

    /// A client's connection ended. Its rooms learn that it is gone.
    pub fn handle_session_down(&mut self, _now: Now, id: SessionId) {
        let Some(session) = self.session_ref(id) else {
            return;
        };
        if let Some(relay) = session.upstream() {
            self.upstream_ended(id, relay);
        }
        self.forget_joining(id);
        let Some(session) = self.session_ref(id) else {
            return;
        };
        let (block, admitted, waiting) = (session.block, session.admitted, session.queue.len());
        let (token, queued) = (session.token, session.queue.bytes());
        let rooms: Vec<RoomId> = session.rooms.keys().copied().collect();
        self.stats.drop_frames(DropReason::ListenerGone, waiting as u64);
        self.queued_bytes -= queued;
        for room in rooms {
            self.leave_room(id, room);
        }
        self.end_streams_of(id);
        self.sessions[id.0 as usize] = None;
        if let Some(token) = token {
            self.tokens.release(token);
        }
        if admitted {
            self.admitted -= 1;
            if self
                .blocks
                .get_mut(&block)
                .is_some_and(BlockQuota::remove_session)
            {
                self.blocks.remove(&block);
            }
        }
    }
}
