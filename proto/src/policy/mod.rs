//! Which relays a meeting may use, and the only place that can say yes.
//!
//! A relay states its jurisdiction in a [`descriptor`]; the host signs a [`route_policy`] into the meeting; the
//! [`permit::RouteJudge`] holds one against the other and gives out a [`permit::Permit`], without which nothing is
//! sent. Whatever is missing, unknown or expired is a refusal that names its clause.

pub mod attestation;
pub mod attestation_request;
pub mod country;
pub mod country_set;
mod country_table;
pub mod descriptor;
pub mod descriptor_book;
pub mod evidence;
pub mod family;
#[cfg(test)]
pub(crate) mod fixture;
pub mod label;
pub mod location;
pub mod nearest;
pub mod permit;
pub mod policy_file;
pub mod refusal;
pub mod region_set;
pub mod route_policy;
pub mod rule;
pub mod signed_descriptor;
pub mod signed_policy;
#[cfg(test)]
mod vectors;

pub use country::Country;
pub use country_set::CountrySet;
pub use descriptor::Descriptor;
pub use descriptor_book::{DescriptorBook, Inserted};
pub use evidence::{Evidence, EvidenceLevel};
pub use permit::{Permit, Route, RouteJudge};
pub use refusal::{Clause, Refusal};
pub use region_set::Region;
pub use route_policy::{Preset, RoutePolicy};
pub use rule::{CountryRule, DeniedAsns, DiscoveryRule, EvidenceRule, IssuerRule};
pub use signed_descriptor::{DescriptorError, SignedDescriptor, VerifiedDescriptor};
pub use signed_policy::{SignedPolicy, VerifiedPolicy};
