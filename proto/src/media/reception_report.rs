//! What a receiver tells a sender every two seconds about one stream (`proto/spec/audio-payload.md`).

use bincode::{Decode, Encode, de::Decoder, error::DecodeError};

/// How often a receiver reports, in milliseconds.
pub const REPORT_INTERVAL_MS: u64 = 2_000;

/// Reception of one sender's audio stream since the previous report.
///
/// Valid by construction: `lost ≤ expected`, `bursts ≤ lost`, and a burst exists exactly if something was lost;
/// `longest_burst` lies between `⌈lost / bursts⌉` and `lost − bursts + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
pub struct ReceptionReport {
    /// The newest frame number seen.
    highest_sequence: u32,
    expected: u32,
    lost: u32,
    bursts: u32,
    longest_burst: u32,
    concealed: u32,
    late: u32,
    jitter_us: u32,
    delay_ms: u16,
}

/// The values of a report, unchecked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Decode)]
pub struct ReceptionReportValues {
    /// The newest frame number seen.
    pub highest_sequence: u32,
    /// Packets that should have come in the interval.
    pub expected: u32,
    /// Of these, packets that did not come.
    pub lost: u32,
    /// Runs of consecutive lost packets.
    pub bursts: u32,
    /// The longest run.
    pub longest_burst: u32,
    /// Frames for which the decoder had to invent sound, after redundancy and FEC.
    pub concealed: u32,
    /// Packets that came after their time.
    pub late: u32,
    /// Interarrival jitter (RFC 3550 §6.4.1) in microseconds.
    pub jitter_us: u32,
    /// Mean time between arrival and playing, in milliseconds.
    pub delay_ms: u16,
}

/// A report that contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reception report contradicts itself")]
pub struct InconsistentReport;

impl TryFrom<ReceptionReportValues> for ReceptionReport {
    type Error = InconsistentReport;

    fn try_from(values: ReceptionReportValues) -> Result<Self, InconsistentReport> {
        let ReceptionReportValues {
            expected,
            lost,
            bursts,
            longest_burst,
            ..
        } = values;
        let bursts_fit = if lost == 0 {
            bursts == 0 && longest_burst == 0
        } else {
            (1..=lost).contains(&bursts)
                && (lost.div_ceil(bursts)..=lost - bursts + 1).contains(&longest_burst)
        };
        if lost > expected || !bursts_fit {
            return Err(InconsistentReport);
        }
        Ok(Self {
            highest_sequence: values.highest_sequence,
            expected,
            lost,
            bursts,
            longest_burst,
            concealed: values.concealed,
            late: values.late,
            jitter_us: values.jitter_us,
            delay_ms: values.delay_ms,
        })
    }
}

impl<C> Decode<C> for ReceptionReport {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        ReceptionReportValues::decode(decoder)?
            .try_into()
            .map_err(|_| DecodeError::Other("a reception report contradicts itself"))
    }
}
bincode::impl_borrow_decode!(ReceptionReport);

impl ReceptionReport {
    /// The values.
    #[must_use]
    pub const fn values(&self) -> ReceptionReportValues {
        ReceptionReportValues {
            highest_sequence: self.highest_sequence,
            expected: self.expected,
            lost: self.lost,
            bursts: self.bursts,
            longest_burst: self.longest_burst,
            concealed: self.concealed,
            late: self.late,
            jitter_us: self.jitter_us,
            delay_ms: self.delay_ms,
        }
    }

    /// Lost share of the expected packets, 0 to 1; 0 if none was expected.
    #[must_use]
    pub fn loss(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.expected.max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec;

    fn values() -> impl Strategy<Value = ReceptionReportValues> {
        (
            any::<[u32; 5]>(),
            0..50_u32,
            0..50_u32,
            0..50_u32,
            0..50_u32,
            any::<u16>(),
        )
            .prop_map(
                |(
                    [highest_sequence, concealed, late, jitter_us, _],
                    expected,
                    lost,
                    bursts,
                    longest_burst,
                    delay_ms,
                )| {
                    ReceptionReportValues {
                        highest_sequence,
                        expected,
                        lost,
                        bursts,
                        longest_burst,
                        concealed,
                        late,
                        jitter_us,
                        delay_ms,
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn consistent_reports_round_trip_and_no_others_decode(values in values()) {
            let raw = [
                values.highest_sequence, values.expected, values.lost, values.bursts, values.longest_burst,
                values.concealed, values.late, values.jitter_us,
            ];
            let bytes = codec::encode(&(raw, values.delay_ms));
            match ReceptionReport::try_from(values) {
                Ok(report) => {
                    prop_assert_eq!(codec::encode(&report), bytes.clone());
                    prop_assert_eq!(codec::decode(&bytes), Ok(report));
                    prop_assert_eq!(report.values(), values);
                }
                Err(InconsistentReport) => {
                    prop_assert_eq!(codec::decode::<ReceptionReport>(&bytes), Err(codec::DecodeError::Malformed));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = codec::decode::<ReceptionReport>(&bytes);
        }
    }
}
