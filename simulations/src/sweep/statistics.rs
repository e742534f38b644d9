//! Means with their confidence intervals, and percentiles.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// How sure an interval is.
pub const CONFIDENCE: f64 = 0.95;

/// A sample's mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The arithmetic mean.
    pub mean: f64,
    /// Half the width of its confidence interval; `None` for fewer than two values.
    pub half_width: Option<f64>,
    /// How many values.
    pub n: usize,
}

/// The mean and the half width of its 95 % confidence interval, by Student's t with n − 1 degrees of freedom. `None` for no
/// values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<Mean> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let half_width = StudentsT::new(0.0, 1.0, n as f64 - 1.0).ok().map(|student| {
        let quantile = student.inverse_cdf(0.5 + CONFIDENCE / 2.0);
        quantile * (squares / (n as f64 - 1.0) / n as f64).sqrt()
    });
    Some(Mean { mean, half_width, n })
}

/// The smallest value that at least so many percent do not exceed (nearest rank); of a sorted, non-empty list.
#[must_use]
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        // t(0.975; 4) = 2.776445, s = 1.581139: 2.776445 · 1.581139 / √5 = 1.963243.
        let five = mean(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!((five.mean, five.n), (3.0, 5));
        assert!((five.half_width.unwrap() - 1.963_243).abs() < 1e-5, "{five:?}");
        // t(0.975; 29) = 2.045230; fifteen of 0 and fifteen of 1: s = 0.508548.
        let half: Vec<f64> = (0..30).map(|index| f64::from(index % 2)).collect();
        let half = mean(&half).unwrap();
        assert!((half.half_width.unwrap() - 0.189_894).abs() < 1e-5, "{half:?}");
        assert_eq!(mean(&[7.0]).unwrap().half_width, None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(percentile(&values, 50.0), 10.0);
        assert_eq!(percentile(&values, 95.0), 19.0);
        assert_eq!(percentile(&values, 100.0), 20.0);
        assert_eq!(percentile(&[4.0], 50.0), 4.0);
    }
}
