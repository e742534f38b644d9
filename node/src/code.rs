//! Redeeming a code of words: a link to the address that goes with it, an exchange, a ticket.

use std::{
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use quinn::{RecvStream, SendStream};
use subrosa_proto::{
    ids::MemberId,
    meeting::{
        code_words::{CodeMessage, CodeWords, Redemption},
        participant::BINDING_LABEL,
    },
    random::Random,
    wire::framing::{self, FrameReader},
};
use tokio::time::timeout;

use crate::{
    driver::addresses::as_seen_from,
    error::{ErrorKind, NodeError},
    quic::endpoint::{Authenticated, Endpoint, EndpointOptions},
    store::identity_file,
};

/// How long the exchange may take on an open link.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(15);
/// Bytes asked of quinn at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// The ticket that `words` stand for at `address`. Uses an identity of its own: the code proves nothing about a person.
///
/// # Errors
/// [`ErrorKind::Usage`] for words that are none, [`ErrorKind::Unreachable`] if nobody answers there,
/// [`ErrorKind::TicketRefused`] if the words are wrong, spent or too old.
pub async fn redeem(words: &str, address: SocketAddr) -> Result<String, NodeError> {
    let words = CodeWords::parse(words)
        .map_err(|error| NodeError::new(ErrorKind::Usage, error.to_string(), "ask for the words again"))?;
    let identity = identity_file::fresh()?;
    let me = identity.member_id();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let unreachable = |message: String| {
        NodeError::new(
            ErrorKind::Unreachable,
            message,
            "check the address; a code is good once and for ten minutes, so ask for a new one",
        )
    };
    let bind =
        |error: std::io::Error| NodeError::new(ErrorKind::Bind, error.to_string(), "check the network");
    let socket = UdpSocket::bind(any)
        .or_else(|_| UdpSocket::bind("0.0.0.0:0"))
        .map_err(bind)?;
    let endpoint = Endpoint::member(socket, identity, &[], &EndpointOptions::default()).map_err(bind)?;
    let local = endpoint.local_addr().map_err(bind)?;
    let seen = as_seen_from(local, address)
        .ok_or_else(|| unreachable(format!("{address} cannot be reached from here")))?;
    let link = endpoint
        .connect_member(seen, words.meeting(), &words.psk(), None)
        .await
        .map_err(|error| unreachable(format!("nobody at {address} knows this code: {error}")))?;
    let exchanged = timeout(EXCHANGE_PATIENCE, exchange(&link, words, me)).await;
    endpoint.close(0, "done");
    match exchanged {
        Ok(Ok(ticket)) => Ok(ticket),
        Ok(Err(message)) => Err(NodeError::new(
            ErrorKind::TicketRefused,
            message,
            "ask for a new code: a code is good for one try",
        )),
        Err(_) => Err(unreachable(format!("{address} stopped answering"))),
    }
}

async fn exchange(link: &Authenticated, words: CodeWords, me: MemberId) -> Result<String, String> {
    let lost = |_| "the connection was lost".to_owned();
    let door = MemberId(link.peer.key);
    let mut binding = [0; 32];
    link.connection
        .export_keying_material(&mut binding, BINDING_LABEL, &[])
        .map_err(|_| "the connection exports no key".to_owned())?;
    let seed = crate::entropy::seed().map_err(|error| error.to_string())?;
    let mut random = Random::from_seed(*seed);
    let (mut send, mut receive) = link
        .connection
        .open_bi()
        .await
        .map_err(|_| "the connection was lost".to_owned())?;
    let mut frames = FrameReader::new();
    let (redemption, start) = Redemption::start(words, &mut random);
    say(&mut send, &start).await.map_err(lost)?;
    let CodeMessage::Answer(answer) = hear(&mut receive, &mut frames).await? else {
        return Err("the code was used already, or has run out".to_owned());
    };
    // Argon2id takes some tens of milliseconds; nothing else runs here.
    let proof = redemption
        .finish(&answer, (me, door), &binding, &mut random)
        .map_err(|_| "these are not the words; the code is spent".to_owned())?;
    say(&mut send, &proof).await.map_err(lost)?;
    match hear(&mut receive, &mut frames).await? {
        CodeMessage::Ticket(ticket) => Ok(ticket.to_string()),
        _ => Err("the code was refused".to_owned()),
    }
}

async fn say(send: &mut SendStream, message: &CodeMessage) -> Result<(), quinn::WriteError> {
    send.write_chunk(framing::frame(&message.encode())).await
}

async fn hear(receive: &mut RecvStream, frames: &mut FrameReader) -> Result<CodeMessage, String> {
    let lost = || "the connection was lost".to_owned();
    loop {
        if let Some(frame) = frames.next_frame().map_err(|_| lost())? {
            return CodeMessage::decode(&frame).map_err(|_| lost());
        }
        let chunk = receive.read_chunk(CHUNK_BYTES, true).await.map_err(|_| lost())?;
        frames.push(&chunk.ok_or_else(lost)?.bytes);
    }
}
