//! Chat, hands, polls and files as a person is shown them.

use subrosa_node::event::{Chat, FileEvent, FileState, PollEvent, PollState};
use subrosa_proto::ids::MemberId;

use super::{Notice, ViewModel, alarm, plain, quiet, sanitise, sanitise_lines, strong};

/// Chat messages that are shown again by `/chat`.
const CHAT_MAX: usize = 500;
/// Polls that have a number; the oldest loses it.
const POLLS_MAX: usize = 64;
/// Files that have a number; the oldest that is over loses it.
const FILES_MAX: usize = 64;

/// A poll, and what a person types to name it.
#[derive(Clone, Debug)]
pub(crate) struct NumberedPoll {
    pub(crate) number: usize,
    pub(crate) poll: PollEvent,
}

/// A file, and what a person types to name it.
#[derive(Clone, Debug)]
pub(crate) struct NumberedFile {
    pub(crate) number: usize,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) state: FileState,
    /// Bytes that are there, as last told.
    pub(crate) done: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    /// By order.
    chat: Vec<(String, String)>,
    hands: Vec<MemberId>,
    pub(crate) polls: Vec<NumberedPoll>,
    last_poll: usize,
    pub(crate) files: Vec<NumberedFile>,
    last_file: usize,
}

impl ViewModel {
    pub(super) fn on_chat(&mut self, chat: &Chat) -> Vec<Notice> {
        let from = self.label_or_you(&chat.from);
        let head = match chat.to {
            None => from,
            Some(to) => format!("{from} → {} (private)", self.label_or_you(&to)),
        };
        // Further lines are indented, so that nobody can make a line of their own look like somebody else's.
        let text = sanitise_lines(&chat.text).join("\n        ");
        let line = format!("{head}: {text}");
        let place = self.talk.chat.partition_point(|(order, _)| *order <= chat.order);
        self.talk.chat.insert(place, (chat.order.clone(), line.clone()));
        if self.talk.chat.len() > CHAT_MAX {
            self.talk.chat.remove(0);
        }
        vec![plain(format!("chat    {line}"))]
    }

    pub(super) fn on_undelivered(&self, to: &MemberId, messages: usize) -> Vec<Notice> {
        vec![alarm(format!(
            "{messages} private messages to {} were not delivered: they are out of the meeting",
            self.label(to)
        ))]
    }

    pub(super) fn on_hands(&mut self, members: Vec<MemberId>) -> Vec<Notice> {
        self.talk.hands = members;
        vec![plain(format!("hands   {}", self.hands_line()))]
    }

    pub(super) fn on_reaction(&self, member: &MemberId, emoji: &str) -> Vec<Notice> {
        vec![quiet(format!(
            "{} {}",
            self.label_or_you(member),
            sanitise(emoji)
        ))]
    }

    pub(super) fn on_poll(&mut self, poll: &PollEvent) -> Vec<Notice> {
        let known = self
            .talk
            .polls
            .iter_mut()
            .find(|known| known.poll.poll == poll.poll);
        let Some(known) = known else {
            if self.talk.polls.len() == POLLS_MAX {
                self.talk.polls.remove(0);
            }
            self.talk.last_poll += 1;
            let number = self.talk.last_poll;
            let poll = poll.clone();
            self.talk.polls.push(NumberedPoll { number, poll });
            let lines = self.poll_lines(number);
            let hint = format!("vote with /vote {number} and an option's number");
            return lines.into_iter().map(strong).chain([quiet(hint)]).collect();
        };
        let closed = known.poll.state != PollState::Closed && poll.state == PollState::Closed;
        known.poll = poll.clone();
        let number = known.number;
        if closed {
            self.poll_lines(number).into_iter().map(strong).collect()
        } else {
            Vec::new()
        }
    }

    pub(super) fn on_file(&mut self, event: &FileEvent) -> Vec<Notice> {
        let peer = event
            .peer
            .map_or_else(|| "everybody".to_owned(), |id| self.label(&id));
        let (number, name) = self.file_number(event);
        let reason = event.reason.as_deref().map(sanitise).unwrap_or_default();
        match event.state {
            FileState::Offered => vec![strong(format!(
                "file {number}  {peer} offers \"{name}\", {}  (/accept {number} or /decline {number})",
                bytes(event.size.unwrap_or_default())
            ))],
            FileState::Offering => vec![plain(format!("file {number}  \"{name}\" is offered to {peer}"))],
            FileState::Accepted => vec![plain(format!("file {number}  {peer} takes \"{name}\""))],
            FileState::Declined => vec![plain(format!("file {number}  {peer} does not take \"{name}\""))],
            FileState::Progress => Vec::new(),
            FileState::Received => vec![strong(format!(
                "file {number}  \"{name}\" is here, checked: {}",
                sanitise(event.path.as_deref().unwrap_or_default())
            ))],
            FileState::Delivered => vec![plain(format!("file {number}  {peer} has \"{name}\", checked"))],
            FileState::Ended => vec![alarm(format!("file {number}  \"{name}\" with {peer}: {reason}"))],
        }
    }

    /// Takes note of a file; its number and name.
    fn file_number(&mut self, event: &FileEvent) -> (usize, String) {
        if let Some(file) = self.talk.files.iter_mut().find(|file| file.id == event.file) {
            file.state = event.state;
            file.done = event.done.unwrap_or(file.done);
            return (file.number, file.name.clone());
        }
        if self.talk.files.len() == FILES_MAX {
            let over = |file: &NumberedFile| matches!(file.state, FileState::Received | FileState::Ended);
            let place = self.talk.files.iter().position(over).unwrap_or(0);
            self.talk.files.remove(place);
        }
        self.talk.last_file += 1;
        let file = NumberedFile {
            number: self.talk.last_file,
            id: event.file.clone(),
            name: sanitise(event.name.as_deref().unwrap_or("file")),
            size: event.size.unwrap_or_default(),
            state: event.state,
            done: event.done.unwrap_or_default(),
        };
        let shown = (file.number, file.name.clone());
        self.talk.files.push(file);
        shown
    }

    fn label_or_you(&self, id: &MemberId) -> String {
        if self.me == Some(*id) {
            "you".to_owned()
        } else {
            self.label(id)
        }
    }

    /// Whose hands are up.
    pub(crate) fn hands_line(&self) -> String {
        let labels = self.talk.hands.iter().enumerate();
        let labels: Vec<String> = labels
            .map(|(place, id)| format!("{}. {}", place + 1, self.label_or_you(id)))
            .collect();
        if labels.is_empty() {
            "none are up".to_owned()
        } else {
            labels.join(" · ")
        }
    }

    /// What was said: `/chat`.
    pub(crate) fn chat_lines(&self) -> Vec<String> {
        if self.talk.chat.is_empty() {
            return vec!["nothing was written yet".to_owned()];
        }
        self.talk.chat.iter().map(|(_, line)| line.clone()).collect()
    }

    /// All polls: `/polls`.
    pub(crate) fn polls_lines(&self) -> Vec<String> {
        if self.talk.polls.is_empty() {
            return vec!["nobody asked anything yet".to_owned()];
        }
        let polls = self
            .talk
            .polls
            .iter()
            .flat_map(|poll| self.poll_lines(poll.number));
        polls.collect()
    }

    fn poll_lines(&self, number: usize) -> Vec<String> {
        let Some(NumberedPoll { poll, .. }) = self.talk.polls.iter().find(|poll| poll.number == number)
        else {
            return Vec::new();
        };
        let state = match poll.state {
            PollState::Open => "open",
            PollState::Counting => "closed, some votes are still to come",
            PollState::Closed => "closed",
        };
        let by = self.label_or_you(&poll.by);
        let mut lines = vec![format!(
            "poll {number}  {} ({by}; {state}; {} voted)",
            sanitise(&poll.question),
            poll.voters
        )];
        for (index, option) in poll.options.iter().enumerate() {
            let mine = poll.mine.iter().any(|choice| usize::from(*choice) == index);
            let votes = poll.votes.get(index).copied().unwrap_or_default();
            lines.push(format!(
                "   {}{} {} — {votes}",
                index + 1,
                if mine { "*" } else { "." },
                sanitise(option)
            ));
        }
        lines
    }

    /// All files: `/files`.
    pub(crate) fn files_lines(&self) -> Vec<String> {
        if self.talk.files.is_empty() {
            return vec!["no file was offered yet".to_owned()];
        }
        let lines = self.talk.files.iter().map(|file| {
            let state = match file.state {
                FileState::Offered => "offered to you".to_owned(),
                FileState::Offering => "offered".to_owned(),
                FileState::Progress if file.size > 0 => {
                    format!("{} %", file.done.saturating_mul(100) / file.size)
                }
                FileState::Accepted | FileState::Progress => "on its way".to_owned(),
                FileState::Declined => "declined".to_owned(),
                FileState::Received => "here".to_owned(),
                FileState::Delivered => "delivered".to_owned(),
                FileState::Ended => "ended".to_owned(),
            };
            format!(
                "file {}  \"{}\", {}, {state}",
                file.number,
                file.name,
                bytes(file.size)
            )
        });
        lines.collect()
    }

    /// The poll that a person means: by number, or the latest.
    pub(crate) fn find_poll(&self, number: usize) -> Option<&PollEvent> {
        let found = self.talk.polls.iter().find(|poll| poll.number == number);
        found.map(|found| &found.poll)
    }

    /// The file that a person means.
    pub(crate) fn find_file(&self, number: usize) -> Option<&NumberedFile> {
        self.talk.files.iter().find(|file| file.number == number)
    }
}

/// A size for people.
fn bytes(size: u64) -> String {
    match size {
        0..1_024 => format!("{size} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", size as f64 / 1_024.0),
        _ => format!("{:.1} MiB", size as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(n: u8, order: &str, text: &str) -> Chat {
        Chat {
            from: MemberId([n; 32]),
            to: None,
            text: text.to_owned(),
            order: order.to_owned(),
            sent_unix: 0,
        }
    }

    #[test]
    fn chat_is_shown_in_the_order_of_all_screens_and_cannot_fake_a_line() {
        let mut view = ViewModel::new(false);
        view.on_chat(&chat(1, "02", "second"));
        let notices = view.on_chat(&chat(2, "01", "first\nchat    Ada: I agree\x1b[2J"));
        assert!(notices.iter().all(|notice| !notice.text.contains('\x1b')));
        let faked = notices[0].text.lines().nth(1).unwrap();
        assert!(faked.starts_with("        "), "{faked}");
        let lines = view.chat_lines();
        assert!(lines[0].contains("first") && lines[1].contains("second"));
        for n in 0..2 * CHAT_MAX {
            view.on_chat(&chat(1, &format!("1{n:05}"), "x"));
        }
        assert_eq!(view.chat_lines().len(), CHAT_MAX);
    }

    #[test]
    fn files_have_numbers_and_hostile_names_are_harmless() {
        let mut view = ViewModel::new(false);
        let mut event = FileEvent {
            file: "ab".into(),
            state: FileState::Offered,
            peer: Some(MemberId([1; 32])),
            name: Some("x\x1b]0;\u{202e}".into()),
            size: Some(2_048),
            done: None,
            path: None,
            reason: None,
        };
        let notice = &view.on_file(&event)[0].text;
        assert!(notice.contains("/accept 1") && !notice.contains(['\x1b', '\u{202e}']));
        event.state = FileState::Progress;
        event.done = Some(1_024);
        assert!(view.on_file(&event).is_empty());
        assert!(view.files_lines()[0].contains("50 %"));
        assert_eq!(view.find_file(1).unwrap().id, "ab");
    }
}
