//! Chat, hands, reactions, polls and files: the conversation's side towards members and the driver.

use std::collections::BTreeSet;

use super::{Event, Output, Participant};
use crate::{
    ids::MemberId,
    meeting::{
        conversation::{ConversationCommand, ConversationEvent, FileOutcome},
        roster::RosterChange,
    },
    time::Now,
    wire::control_message::ControlMessage,
};

impl Participant {
    /// The driver did what an [`Output::File`] asked for.
    pub fn handle_file_outcome(&mut self, now: Now, outcome: FileOutcome) {
        self.conversation.handle_file_outcome(now, outcome);
        self.settle(now);
    }

    /// What a person says or does.
    pub(super) fn converse(&mut self, now: Now, command: ConversationCommand) {
        self.conversation.handle_command(now, &self.log, command);
    }

    /// The roster changed; whoever came in may have been reached before.
    pub(super) fn conversation_follows(&mut self, now: Now, changes: &[RosterChange]) {
        self.conversation.roster_changed(now, &self.log);
        for change in changes {
            if let RosterChange::Admitted { member, .. } = change
                && self.is_reachable(*member)
            {
                self.conversation.conduit_opened(now, &self.log, *member);
            }
        }
    }

    /// Sends what the conversation has for members, the driver and people.
    pub(super) fn pump_conversation(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        let linked = self
            .links
            .values()
            .filter(|link| !link.monitor.is_silent(now.monotonic));
        let linked: BTreeSet<MemberId> = linked.map(|link| link.member).collect();
        self.conversation
            .pump_files(now, &|member| linked.contains(member));
        while let Some((member, message)) = self.conversation.poll_transmit() {
            // Only to those who are in: what was queued for somebody who was removed meanwhile stays here.
            if self.log.view().members.contains_key(&member) {
                let message = ControlMessage::Conversation(Box::new(message));
                self.send_to(Some(now), member, &message);
            }
        }
        while let Some(job) = self.conversation.poll_file_job() {
            self.outputs.push_back(Output::File(job));
        }
        while let Some(event) = self.conversation.poll_event() {
            match event {
                ConversationEvent::Refused { what, why } => self.emit(Event::Refused {
                    what,
                    clause: why.clause().to_owned(),
                    reason: format!("not done: {why}"),
                }),
                ConversationEvent::Equivocated(member) => {
                    let name = self.name_of(member);
                    self.fault(
                        "equivocation",
                        format!("{name} told different people different things under one number"),
                        "nothing more is taken from them; ask them, or remove them",
                    );
                }
                event => self.emit(Event::Conversation(event)),
            }
        }
    }
}
