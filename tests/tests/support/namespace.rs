//! Sockets of the test itself inside a network namespace.

use std::{fs::File, os::fd::AsFd, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `act` on a thread of its own in `namespace`. Sockets that it opens stay there.
pub(crate) fn within<T: Send>(namespace: &str, act: impl FnOnce() -> T + Send) -> T {
    let inside = || {
        enter(namespace);
        act()
    };
    thread::scope(|scope| scope.spawn(inside).join().expect("it does not panic"))
}

/// Moves the calling thread for good.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace is there");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
}
