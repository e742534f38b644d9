use std::f32::consts::TAU;

use super::*;

fn sine(hz: f32, samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|n| 0.5 * (TAU * hz * n as f32 / 48_000.0).sin())
        .collect()
}

/// A glottal pulse train through two resonances: what a vowel looks like to a correlator.
fn vowel(pitch_hz: f32, samples: usize) -> Vec<f32> {
    let period = 48_000.0 / pitch_hz;
    let mut out = vec![0.0_f32; samples];
    for (formant, bandwidth, gain) in [(700.0, 130.0, 0.05_f32), (1_220.0, 180.0, 0.03)] {
        let radius = (-std::f32::consts::PI * bandwidth / 48_000.0_f32).exp();
        let (a1, a2) = (2.0 * radius * (TAU * formant / 48_000.0).cos(), -radius * radius);
        let (mut y1, mut y2) = (0.0, 0.0);
        for (n, sample) in out.iter_mut().enumerate() {
            let pulse = if (n as f32 % period) < 1.0 { 1.0 } else { 0.0 };
            let y = gain * pulse + a1 * y1 + a2 * y2;
            (y2, y1) = (y1, y);
            *sample += y;
        }
    }
    out
}

fn noise(samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 * 0.4 - 0.2
        })
        .collect()
}

fn max_step(samples: &[f32]) -> f32 {
    samples
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max)
}

/// The frequency between 60 and 1,500 Hz with the most power (direct transform, steps of 4 Hz).
fn spectral_peak(samples: &[f32]) -> f32 {
    let power = |hz: f32| {
        let (mut re, mut im) = (0.0_f32, 0.0_f32);
        for (n, x) in samples.iter().enumerate().step_by(8) {
            let phase = TAU * ((f64::from(hz) * n as f64 / 48_000.0).fract() as f32);
            let window = 0.5 - 0.5 * (TAU * n as f32 / samples.len() as f32).cos();
            re += x * window * phase.cos();
            im += x * window * phase.sin();
        }
        re * re + im * im
    };
    let mut best = (0.0, 0.0);
    for step in 30..375 {
        let hz = step as f32 * 4.0;
        let p = power(hz);
        if p > best.1 {
            best = (hz, p);
        }
    }
    best.0
}

/// Applies `operation` to each frame of 20 ms, as the playout does.
fn per_frame(signal: &[f32], operation: impl Fn(&mut Vec<f32>) -> usize) -> (Vec<f32>, usize) {
    let mut changed = 0;
    let mut out = Vec::new();
    for (n, frame) in signal.chunks_exact(960).enumerate() {
        let mut frame = frame.to_vec();
        if n % 3 == 1 {
            changed += operation(&mut frame);
        }
        out.extend(frame);
    }
    (out, changed)
}

#[test]
fn sines_keep_their_pitch_and_get_no_click() {
    for hz in [120.0, 150.0, 233.0, 440.0, 1_000.0] {
        let signal = sine(hz, 24_000);
        for (faster, (out, changed)) in [
            (true, per_frame(&signal, |frame| accelerate(frame, LAG_MAX, 0.9))),
            (false, per_frame(&signal, |frame| expand(frame, LAG_MAX, 0.9))),
        ] {
            assert!(changed > 8 * LAG_MIN, "{hz} Hz: {changed}");
            let length = if faster {
                signal.len() - changed
            } else {
                signal.len() + changed
            };
            assert_eq!(out.len(), length);
            assert!(
                (spectral_peak(&out) - hz).abs() <= 4.0,
                "{hz} Hz became {}",
                spectral_peak(&out)
            );
            assert!(
                max_step(&out) <= 1.15 * max_step(&signal),
                "{hz} Hz: {}",
                max_step(&out)
            );
        }
    }
}

#[test]
fn vowels_keep_their_pitch_and_get_no_click() {
    for hz in [90.0, 130.0, 210.0, 320.0] {
        let signal = vowel(hz, 48_000);
        for (out, changed) in [
            per_frame(&signal, |frame| accelerate(frame, LAG_MAX, 0.8)),
            per_frame(&signal, |frame| expand(frame, LAG_MAX, 0.8)),
        ] {
            assert!(changed > 4 * LAG_MIN, "{hz} Hz: {changed}");
            assert!((spectral_peak(&out) - spectral_peak(&signal)).abs() <= 6.0);
            assert!(max_step(&out) <= 1.2 * max_step(&signal), "{hz} Hz");
        }
    }
}

#[test]
fn noise_is_joined_only_if_the_caller_insists_and_then_without_a_click() {
    let signal = noise(9_600);
    assert_eq!(per_frame(&signal, |frame| accelerate(frame, LAG_MAX, 0.9)).1, 0);
    let (out, changed) = per_frame(&signal, |frame| expand(frame, LAG_MAX, 0.1));
    assert!(changed > 0);
    assert!(max_step(&out) <= 1.1 * max_step(&signal));
}

#[test]
fn the_limit_on_the_lag_holds() {
    for limit in [0, LAG_MIN - 1, LAG_MIN, 300, 5_000] {
        let mut frame = sine(440.0, 960);
        assert!(accelerate(&mut frame, limit, -1.0) <= limit.min(LAG_MAX));
        assert!(expand(&mut frame, limit, -1.0) <= limit.min(LAG_MAX));
    }
    for length in [0, 100, OVERLAP, OVERLAP + LAG_MIN - 1] {
        let mut short = sine(440.0, length);
        assert_eq!(accelerate(&mut short, LAG_MAX, -1.0), 0);
        assert_eq!(expand(&mut short, LAG_MAX, -1.0), 0);
    }
}

#[test]
fn silence_gives_way_at_once() {
    let mut frame = vec![0.0; 960];
    assert_eq!(accelerate(&mut frame, LAG_MAX, 0.99), LAG_MAX);
    assert_eq!(frame.len(), 240);
}
