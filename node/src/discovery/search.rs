//! A search of the relay directory, from beginning to end.

use std::time::Duration;

use subrosa_proto::{
    discovery::{Directory, Request},
    policy::Country,
};

use super::service::{Found, Order, Service};
use crate::driver::clock::unix_now;

/// The search is asked for again so often: nodes may have come since.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Searches for relays in `countries` for `patience`, or until nothing new came for `quiet` after the first relay. What is
/// found is verified.
pub async fn search_relays(
    service: &mut Service,
    countries: &[Option<Country>],
    patience: Duration,
    quiet: Duration,
) -> Directory {
    let mut directory = Directory::default();
    let end = tokio::time::sleep(patience);
    tokio::pin!(end);
    let silence = tokio::time::sleep(patience);
    tokio::pin!(silence);
    let mut ask = tokio::time::interval(ASK_AGAIN);
    loop {
        tokio::select! {
            _ = ask.tick() => {
                let countries = countries.to_vec();
                service.order(Order::Request(Request::Relays { countries })).await;
            }
            found = service.found() => match found {
                Some(Found::Value { key, value }) => match directory.insert(unix_now(), key, &value) {
                    Ok(true) => silence.as_mut().reset(tokio::time::Instant::now() + quiet),
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "what the directory gave is not believed"),
                },
                Some(Found::Peers) => {}
                None => return directory,
            },
            () = &mut silence => return directory,
            () = &mut end => return directory,
        }
    }
}
