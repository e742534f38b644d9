//! Where this node can be dialled: the addresses of its interfaces, with the port of its socket.

use std::net::{IpAddr, SocketAddr};

/// How many addresses are told to others; the bound of tickets and greetings.
const ADDRESSES_MAX: usize = 8;

/// The addresses at which a socket bound to `local` is reached. A socket bound to one address has that one; a socket
/// bound to all has those of every interface that is up, global ones first, loopback last (it serves nodes on the same
/// computer).
#[must_use]
pub fn dialable(local: SocketAddr) -> Vec<SocketAddr> {
    if !local.ip().is_unspecified() {
        return vec![SocketAddr::new(local.ip().to_canonical(), local.port())];
    }
    let mut ips: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| local.is_ipv6() || ip.is_ipv4())
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    ips.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip));
    ips.dedup();
    ips.into_iter()
        .take(ADDRESSES_MAX)
        .map(|ip| SocketAddr::new(ip, local.port()))
        .collect()
}

/// `remote` in the form that a socket of `local`'s family can send to; `None` if it cannot.
#[must_use]
pub fn as_seen_from(local: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
    match (local, remote) {
        (SocketAddr::V6(_), SocketAddr::V4(v4)) if local.ip().is_unspecified() => {
            Some((v4.ip().to_ipv6_mapped(), v4.port()).into())
        }
        (SocketAddr::V6(_), SocketAddr::V4(_)) | (SocketAddr::V4(_), SocketAddr::V6(_)) => None,
        _ => Some(remote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_stands_alone_and_an_unspecified_one_is_expanded() {
        let bound: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        assert_eq!(dialable(bound), [bound]);
        let all = dialable("0.0.0.0:4000".parse().unwrap());
        assert!(all.contains(&bound));
        assert!(all.iter().all(SocketAddr::is_ipv4));
    }

    #[test]
    fn families_are_mapped_where_the_socket_can() {
        let v4: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let mapped = as_seen_from("[::]:1".parse().unwrap(), v4).unwrap();
        assert_eq!(mapped.ip().to_canonical(), v4.ip());
        assert_eq!(
            as_seen_from("0.0.0.0:1".parse().unwrap(), "[::1]:5".parse().unwrap()),
            None
        );
        assert_eq!(as_seen_from("127.0.0.1:1".parse().unwrap(), v4), Some(v4));
    }
}
