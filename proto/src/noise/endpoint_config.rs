//! What holds for all connections of an endpoint.

use quinn_proto::EndpointConfig;

use crate::random::Random;

/// The private version only, unguessable connection ids, no byte in answer to what belongs to no connection.
#[must_use]
pub fn endpoint_config(random: &mut Random) -> EndpointConfig {
    let _ = random;
    todo!()
}
