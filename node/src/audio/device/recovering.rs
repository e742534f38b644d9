//! A device that may vanish: silence at the right pace while it is gone, and attempts to get it back.

use std::{
    sync::mpsc::Sender,
    time::{Duration, Instant},
};

use super::{Capture, Notice, Pacer, Playback};
use crate::audio::{AudioError, STEP};

/// Pause between two attempts: short enough that a person does not notice, long enough to cost nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// How a lost device is opened again.
pub(super) type Opener<D> = Box<dyn FnMut() -> Result<D, AudioError> + Send>;

/// `D`, or silence while it is gone.
pub(super) struct Recovering<D> {
    open: Opener<D>,
    device: Option<D>,
    pacer: Pacer,
    next_attempt: Instant,
    notices: Sender<Notice>,
}

impl<D> Recovering<D> {
    /// Opens the device for the first time.
    ///
    /// # Errors
    /// Those of `open`: a device that never worked is an error, not a loss.
    pub(super) fn start(mut open: Opener<D>, notices: Sender<Notice>) -> Result<Self, AudioError> {
        let device = Some(open()?);
        Ok(Self {
            open,
            device,
            pacer: Pacer::new(),
            next_attempt: Instant::now(),
            notices,
        })
    }

    fn lose(&mut self, error: AudioError) {
        self.device = None;
        self.pacer = Pacer::new();
        self.next_attempt = Instant::now() + RETRY_INTERVAL;
        let _ = self.notices.send(Notice::Lost(error));
    }

    fn attempt(&mut self) {
        let now = Instant::now();
        if now < self.next_attempt {
            return;
        }
        self.next_attempt = now + RETRY_INTERVAL;
        if let Ok(device) = (self.open)() {
            self.device = Some(device);
            let _ = self.notices.send(Notice::Back);
        }
    }
}

impl<D: Capture> Capture for Recovering<D> {
    fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError> {
        if let Some(device) = &mut self.device {
            match device.read(block) {
                Ok(()) => return Ok(()),
                Err(error) => self.lose(error),
            }
        }
        block.fill(0.0);
        self.pacer.wait(block.len());
        self.attempt();
        Ok(())
    }
}

impl<D: Playback> Playback for Recovering<D> {
    fn wait(&mut self) -> Result<usize, AudioError> {
        if let Some(device) = &mut self.device {
            match device.wait() {
                Ok(samples) => return Ok(samples),
                Err(error) => self.lose(error),
            }
        }
        // Sound that nobody hears is still taken from the jitter buffers, so that they are in step afterwards.
        self.pacer.wait(STEP);
        self.attempt();
        Ok(STEP)
    }

    fn write(&mut self, samples: &[f32]) -> Result<(), AudioError> {
        if let Some(device) = &mut self.device
            && let Err(error) = device.write(samples)
        {
            self.lose(error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;
    use crate::audio::BLOCK;

    /// Works for three blocks each time it is opened; every second attempt to open it fails.
    struct Flaky(usize);

    impl Capture for Flaky {
        fn read(&mut self, block: &mut [f32]) -> Result<(), AudioError> {
            if self.0 == 0 {
                return Err(AudioError::Lost {
                    direction: "source",
                    reason: "unplugged".to_owned(),
                });
            }
            self.0 -= 1;
            block.fill(1.0);
            Ok(())
        }
    }

    #[test]
    fn loss_is_told_and_silence_follows_until_the_device_is_back() {
        let (sender, notices) = mpsc::channel();
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        let open: Opener<Flaky> = Box::new(move || match count.fetch_add(1, Ordering::Relaxed) {
            1 => Err(AudioError::NoServer {
                reason: "still gone".to_owned(),
            }),
            _ => Ok(Flaky(3)),
        });
        let mut device = Recovering::start(open, sender).unwrap();
        let mut block = [0.0; BLOCK];
        for _ in 0..3 {
            device.read(&mut block).unwrap();
            assert!(block[0] > 0.5);
        }
        let mut silent = 0;
        while opened.load(Ordering::Relaxed) < 3 {
            device.read(&mut block).unwrap();
            assert!(block[0] < 0.5);
            silent += 1;
        }
        assert!(
            (45..=60).contains(&silent),
            "{silent} blocks of 10 ms for two attempts of 250 ms"
        );
        device.read(&mut block).unwrap();
        assert!(block[0] > 0.5);
        assert!(matches!(notices.try_recv(), Ok(Notice::Lost(_))));
        assert!(matches!(notices.try_recv(), Ok(Notice::Back)));
    }
}
