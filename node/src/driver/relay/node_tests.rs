//! Identity, chain and state over restarts and reloads.

use std::path::Path;

use super::*;

fn settings(dir: &Path) -> RelaySettings {
    let text = include_str!("../../../../docs/relay.toml");
    let mut settings = RelaySettings::parse(text, Path::new("relay.toml")).unwrap();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.public_addresses.clear();
    settings.data_dir = dir.to_owned();
    settings
}

#[tokio::test]
async fn a_restarted_relay_keeps_its_identity_and_continues_its_chain() {
    let dir = std::env::temp_dir().join(format!("subrosa-relay-test-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let first = RelayNode::start(settings(&dir)).await.unwrap();
    let before = first.descriptor().verify(unix_now()).unwrap();
    assert_eq!(before.addresses, [first.local_addr()]);
    first.shutdown().await;
    drop(first);
    let second = RelayNode::start(settings(&dir)).await.unwrap();
    let after = SignedDescriptor::from_text(&second.descriptor_line())
        .unwrap()
        .verify(unix_now())
        .unwrap();
    assert_eq!((after.relay, after.static_key), (before.relay, before.static_key));
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(after.previous, Some(before.hash()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.join("identity"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Due at half its life, not before.
    let half = UnixSeconds(after.valid_from.0 + RENEW_BEFORE);
    assert!(second.shared.renew(UnixSeconds(half.0 - 1)).is_none());
    assert!(second.shared.renew(half).is_some());
    assert_eq!(second.descriptor().unverified().previous, Some(after.hash()));
    second.shutdown().await;
    drop(second);

    // A damaged key is an error, not a new identity.
    std::fs::write(dir.join("identity"), "rose").unwrap();
    assert!(matches!(
        RelayNode::start(settings(&dir)).await,
        Err(RelayStartError::DataDir { .. })
    ));
    let _ = std::fs::remove_dir_all(&dir);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let dir = std::env::temp_dir().join(format!("subrosa-relay-port-{}", std::process::id()));
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(&dir);
    settings.listen = taken.local_addr().unwrap();
    let error = RelayNode::start(settings).await.unwrap_err();
    assert!(
        error.to_string().contains("cannot listen on 127.0.0.1"),
        "{error}"
    );
    let _ = std::fs::remove_dir_all(&dir);
}

#[tokio::test]
async fn a_reload_signs_a_new_descriptor_only_if_it_says_something_new() {
    let dir = std::env::temp_dir().join(format!("subrosa-relay-reload-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    let relay = RelayNode::start(settings(&dir)).await.unwrap();
    let before = relay.descriptor().verify(unix_now()).unwrap();
    let mut other = settings(&dir);
    other.limits.room_media.bits_per_second = 1_000_000;
    other.listen = "127.0.0.1:1".parse().unwrap();
    let reloaded = relay.reload(other).await.unwrap();
    assert_eq!(
        (reloaded.descriptor, &reloaded.needs_restart[..]),
        (false, &["listen"][..])
    );
    assert_eq!(relay.descriptor(), *before.signed());
    let mut moved = settings(&dir);
    moved.hosting = "FR".parse().unwrap();
    assert!(relay.reload(moved).await.unwrap().descriptor);
    let after = relay.descriptor().verify(unix_now()).unwrap();
    assert_eq!(
        (after.hosting.code(), after.sequence),
        ("FR", before.sequence + 1)
    );
    assert_eq!(after.previous, Some(before.hash()));
    relay.shutdown().await;
    let _ = std::fs::remove_dir_all(&dir);
}
