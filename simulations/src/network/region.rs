//! Regions of the world and the round-trip times between them.

/// The regions' names, in the order of the matrix.
pub const REGIONS: [&str; 8] = [
    "eu-west",
    "eu-central",
    "us-east",
    "us-west",
    "ap-south",
    "ap-northeast",
    "sa-east",
    "af-south",
];

/// Round-trip times in milliseconds, symmetric.
///
/// Between Dublin, Frankfurt, Virginia, California, Mumbai, Tokyo, São Paulo and Cape Town: medians (p50) of TCP round
/// trips between the regions of one large operator that cloudping.co published in 2025, the mean of both directions, rounded. Within a region
/// it gives 3 to 6 ms; 4 here. The way from a home to its region's exchange is the access link's.
const RTT_MS: [[u16; 8]; 8] = [
    [4, 27, 70, 130, 126, 202, 178, 159],
    [27, 4, 93, 153, 129, 227, 205, 155],
    [70, 93, 4, 64, 191, 150, 115, 227],
    [130, 153, 64, 4, 232, 109, 175, 287],
    [126, 129, 191, 232, 4, 134, 301, 273],
    [202, 227, 150, 109, 134, 4, 259, 357],
    [178, 205, 115, 175, 301, 259, 4, 338],
    [159, 155, 227, 287, 273, 357, 338, 4],
];

/// A region: its row in the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region(usize);

impl Region {
    /// # Errors
    /// A sentence with all names.
    pub(super) fn from_name(name: &str) -> Result<Self, String> {
        let found = REGIONS.iter().position(|region| *region == name);
        found
            .map(Self)
            .ok_or_else(|| format!("`{name}` is no region: {}", REGIONS.join(", ")))
    }

    pub(super) fn rtt_ms(self, other: Self) -> f64 {
        f64::from(RTT_MS[self.0][other.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_is_symmetric_and_home_is_nearest() {
        for (a, row) in RTT_MS.iter().enumerate() {
            for (b, rtt) in row.iter().enumerate() {
                assert_eq!(*rtt, RTT_MS[b][a]);
                assert!(a == b || *rtt > row[a]);
            }
        }
        assert!(Region::from_name("atlantis").unwrap_err().contains("eu-west"));
    }
}
