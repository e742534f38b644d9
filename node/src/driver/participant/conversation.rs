//! Chat, hands, reactions, polls and files in the words of the node's interface.

use subrosa_proto::meeting::conversation::{
    ConversationCommand, ConversationEvent,
    files::{self, FileId},
    polls::PollView,
};

use crate::{
    command::Command,
    event::{Chat, Event, FileEvent, FileState, HexId, PollEvent, PollState},
};

/// An interface's command as the conversation knows it; none if it is about something else.
pub(super) fn command(command: &Command) -> Option<ConversationCommand> {
    Some(match command {
        Command::Say { text, to } => ConversationCommand::Say {
            to: *to,
            text: text.clone(),
        },
        Command::LowerHand { member } => ConversationCommand::LowerHand(*member),
        Command::React { reaction } => ConversationCommand::React(*reaction),
        Command::Poll {
            question,
            options,
            multiple,
        } => ConversationCommand::OpenPoll {
            question: question.clone(),
            options: options.clone(),
            multiple: *multiple,
        },
        Command::Vote { poll, choices } => ConversationCommand::Vote {
            poll: *poll,
            choices: choices.clone(),
        },
        Command::ClosePoll { poll } => ConversationCommand::ClosePoll(*poll),
        Command::Accept { file } => ConversationCommand::AcceptFile(*file),
        Command::Decline { file } => ConversationCommand::DeclineFile(*file),
        Command::Cancel { file } => ConversationCommand::CancelFile(*file),
        Command::Hand { up } => ConversationCommand::Hand(*up),
        _ => return None,
    })
}

/// What happened, for the interface.
pub(super) fn event(event: ConversationEvent) -> Option<Event> {
    Some(match event {
        ConversationEvent::Said(said) => Event::Chat(Chat {
            from: said.from,
            to: said.to,
            text: said.text,
            order: said.order.to_string(),
            sent_unix: said.sent.0,
        }),
        ConversationEvent::Undelivered { to, messages } => Event::Undelivered { to, messages },
        ConversationEvent::Hands(order) => Event::Hands {
            members: order.into_iter().map(HexId).collect(),
        },
        ConversationEvent::Reacted { member, reaction } => Event::Reaction {
            member,
            reaction: reaction.as_str().to_owned(),
            emoji: reaction.emoji().to_owned(),
        },
        ConversationEvent::Poll(view) => Event::Poll(poll(view)),
        ConversationEvent::File(event) => Event::File(file(event)?),
        other => {
            tracing::warn!(?other, "an event that this driver does not know");
            return None;
        }
    })
}

fn poll(view: PollView) -> PollEvent {
    let bits = view.mine.unwrap_or_default();
    PollEvent {
        poll: view.id.to_string(),
        by: view.by,
        question: view.poll.question.as_str().to_owned(),
        options: view
            .poll
            .options
            .iter()
            .map(|option| option.as_str().to_owned())
            .collect(),
        multiple: view.poll.multiple,
        votes: view.votes,
        voters: view.voters,
        mine: (0..16).filter(|option| bits & (1 << option) != 0).collect(),
        state: match view.closed {
            None => PollState::Open,
            Some(closed) if closed.missing > 0 => PollState::Counting,
            Some(_) => PollState::Closed,
        },
        uncounted: view.closed.map_or(0, |closed| closed.uncounted),
    }
}

fn file(event: files::FileEvent) -> Option<FileEvent> {
    let of = |id: FileId, state, peer| FileEvent {
        file: id.to_string(),
        state,
        peer,
        name: None,
        size: None,
        done: None,
        path: None,
        reason: None,
    };
    Some(match event {
        files::FileEvent::Offered { id, from, name, size } => FileEvent {
            name: Some(name),
            size: Some(size),
            ..of(id, FileState::Offered, Some(from))
        },
        files::FileEvent::Offering { id, to, name, size } => FileEvent {
            name: Some(name),
            size: Some(size),
            ..of(id, FileState::Offering, to)
        },
        files::FileEvent::Accepted { id, by } => of(id, FileState::Accepted, Some(by)),
        files::FileEvent::Declined { id, by } => of(id, FileState::Declined, Some(by)),
        files::FileEvent::Progress { id, peer, done, size } => FileEvent {
            done: Some(done),
            size: Some(size),
            ..of(id, FileState::Progress, Some(peer))
        },
        files::FileEvent::Received { id, from, path } => FileEvent {
            path: Some(path),
            ..of(id, FileState::Received, Some(from))
        },
        files::FileEvent::Delivered { id, to } => of(id, FileState::Delivered, Some(to)),
        files::FileEvent::Ended { id, peer, why } => FileEvent {
            reason: Some(why.to_string()),
            ..of(id, FileState::Ended, Some(peer))
        },
        other => {
            tracing::warn!(?other, "a file's event that this driver does not know");
            return None;
        }
    })
}
