//! Sockets of the test itself inside a network namespace.

use std::{fs::File, os::fd::AsFd, process::Command, thread};

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

/// Sockets of TCP in a namespace, by `ss` with these arguments: the ports of their own side.
pub(crate) fn tcp_ports(namespace: &str, arguments: &[&str]) -> Vec<u16> {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", namespace, "ss", "-Htn"])
        .args(arguments);
    let text = String::from_utf8_lossy(&command.output().expect("ss runs").stdout).into_owned();
    // State, two queues, then the own address; without the state where only one is asked for.
    let own = |line: &str| {
        let address = line.split_whitespace().find(|word| word.contains(':'))?;
        address.rsplit_once(':')?.1.parse().ok()
    };
    text.lines().filter_map(own).collect()
}
