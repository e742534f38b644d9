//! The calendar month, for the monthly cap.

use crate::time::UnixSeconds;

/// Months since January of year 0, UTC (days to civil date after Howard Hinnant's `civil_from_days`).
pub(super) fn month_of(unix: UnixSeconds) -> u64 {
    let z = unix.0 / 86_400 + 719_468;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March here; January and February belong to the year that began the March before.
    let from_march = (5 * day_of_year + 2) / 153;
    (z / 146_097 * 400 + year_of_era) * 12 + from_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_change_at_their_first_second() {
        // 2024-03-01, 2025-01-01 and 2026-12-01, 00:00:00Z.
        for first in [1_709_251_200, 1_735_689_600, 1_796_083_200] {
            assert_eq!(month_of(UnixSeconds(first - 1)) + 1, month_of(UnixSeconds(first)));
            assert_eq!(
                month_of(UnixSeconds(first)),
                month_of(UnixSeconds(first + 27 * 86_400))
            );
        }
        assert_eq!(month_of(UnixSeconds(0)), 1970 * 12);
    }
}
