//! What is known of a meeting to those in it and must not be seen by anybody else, as bytes to look for in what is sent.

use std::net::{IpAddr, SocketAddr};

use subrosa_node::{driver::clock::unix_now, store::meetings::MeetingFile};
use subrosa_proto::{
    ids::{MeetingId, MemberId, RelayId},
    meeting::{
        kept::KeptRecord,
        room_secret::{Day, RoomSecret, TicketSecret},
    },
    policy::SignedDescriptor,
    wire::ticket::Ticket,
};

use super::{
    Scratch,
    markers::Markers,
    member::{Member, text},
};

/// See the module.
#[derive(Default)]
pub(crate) struct Known {
    /// Names, identities, words, secrets and what is derived from them.
    pub(crate) secrets: Markers,
    /// Where members are.
    pub(crate) addresses: Markers,
}

impl Known {
    /// Who somebody is.
    pub(crate) fn add_member(&mut self, name: &str, member: &Member) {
        let secrets = &mut self.secrets;
        secrets.add(format!("the name {name}"), name.as_bytes());
        let id: MemberId = member.id().parse().expect("an identity");
        secrets.add_in_all_forms(&format!("identity of {name}"), &id.0);
        let fingerprint = id.fingerprint();
        secrets.add(format!("fingerprint of {name}"), fingerprint.as_bytes());
        let bare = fingerprint.replace('-', "");
        secrets.add(format!("fingerprint of {name} without hyphens"), bare.as_bytes());
    }

    /// An address: in text, in IPv6's form, as multiaddr writes it before a TCP or UDP port, and as bytes before `port`.
    pub(crate) fn add_address(&mut self, ip: IpAddr, port: u16) {
        let IpAddr::V4(v4) = ip else {
            panic!("the lab's addresses are of IPv4")
        };
        let (octets, mapped) = (v4.octets(), v4.to_ipv6_mapped().octets());
        let mut add = |what: &str, parts: &[&[u8]]| {
            self.addresses.add(format!("{ip} {what}"), &parts.concat());
        };
        add(IN_TEXT, &[ip.to_string().as_bytes()]);
        add("in IPv6's form", &[&mapped[8..]]);
        add("as a TCP multiaddr", &[&[0x04], &octets, &[0x06]]);
        add("as a UDP multiaddr", &[&[0x04], &octets, &[0x91, 0x02]]);
        for port in [port.to_be_bytes(), port.to_le_bytes()] {
            add("and its port", &[&octets, &port]);
            // bincode's mark of a two-byte integer, as in the project's own messages.
            add("and its port in a message", &[&octets, &[0xfb], &port]);
        }
    }

    /// What a ticket tells.
    pub(crate) fn add_ticket(&mut self, ticket: &str) {
        let parsed = Ticket::parse(ticket, unix_now()).expect("a ticket");
        let (terms, secrets) = (parsed.terms(), &mut self.secrets);
        secrets.add_in_all_forms("meeting", &terms.meeting.0);
        secrets.add("ticket", &ticket.as_bytes()[..40]);
        secrets.add_in_all_forms("ticket secret", &*terms.secret);
        let secret = TicketSecret::from_bytes(*terms.secret);
        let lobby_key = secret.lobby_psk(&terms.meeting, terms.epoch);
        secrets.add_in_all_forms("lobby key", &*lobby_key);
        for relay in &terms.relays {
            let id: RelayId = relay.unverified().relay;
            let room = secret.lobby_room(&terms.meeting, &id, Day::of(unix_now()));
            secrets.add_in_all_forms("lobby room", &room.0);
        }
    }

    /// The room secrets that the founder's node keeps at this moment, and what follows from them at `relay`.
    pub(crate) fn add_rooms(&mut self, home: &Scratch, host: &Member, relay: &str, when: &str) {
        let joined = host.wait_joined().event;
        let meeting: MeetingId = text(&joined["meeting"]).parse().expect("a meeting");
        // The node has its file open; a copy is read.
        let file = format!("meetings/{meeting}.log");
        let kept = std::fs::read(host.data_dir.join(&file)).expect("the founder keeps its meeting");
        home.file(&format!("{when}/{file}"), kept);
        let opened = MeetingFile::open(&home.path().join(when), meeting);
        let (_, records) = opened.expect("the founder's file");
        let relay = SignedDescriptor::from_text(relay)
            .expect("a descriptor")
            .unverified()
            .relay;
        let mut secrets = 0;
        for record in records {
            if let KeptRecord::RoomSecret { secret, .. } = record {
                secrets += 1;
                self.secrets
                    .add_in_all_forms(&format!("room secret {when}"), &secret);
                let secret = RoomSecret::from_bytes(secret);
                self.secrets
                    .add_in_all_forms(&format!("members' key {when}"), &*secret.member_psk(&meeting));
                let room = secret.member_room(&meeting, &relay, Day::of(unix_now()));
                self.secrets.add_in_all_forms(&format!("room {when}"), &room.0);
            }
        }
        assert!(secrets > 0, "the founder keeps a room secret");
    }
}

/// What the name of the marker of an address in text ends with.
pub(crate) const IN_TEXT: &str = "in text";

/// The port of a member's media socket.
pub(crate) fn media_port(member: &Member) -> u16 {
    let listen = text(&member.wait_for("ready").event["listen"]);
    listen.parse::<SocketAddr>().expect("an address").port()
}
