//! What must be brought up to date before a `handle_*` function returns.

/// Marks; each is taken once by `settle`.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    roster: bool,
    rooms: bool,
    routes: bool,
}

impl Dirty {
    /// The roster log changed.
    pub(super) fn roster(&mut self) {
        self.roster = true;
    }

    /// Secrets, relays, members or the day changed: rooms and aliases derive anew.
    pub(super) fn rooms(&mut self) {
        self.rooms = true;
        self.routes = true;
    }

    /// Links, presence or members changed: paths are chosen anew.
    pub(super) fn routes(&mut self) {
        self.routes = true;
    }

    pub(super) fn take_roster(&mut self) -> bool {
        std::mem::take(&mut self.roster)
    }

    pub(super) fn take_rooms(&mut self) -> bool {
        std::mem::take(&mut self.rooms)
    }

    pub(super) fn take_routes(&mut self) -> bool {
        std::mem::take(&mut self.routes)
    }
}
