//! A ticket as a QR code of half blocks, for a telephone's camera.

use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

/// The code, or a sentence if the text is too long for one.
pub(super) fn draw(text: &str) -> String {
    match QrCode::with_error_correction_level(text, EcLevel::L) {
        // Terminals are dark as a rule: inverted, so that the modules come out dark on light.
        Ok(code) => code
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build(),
        Err(_) => "the ticket is too long for a QR code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_ticket_still_fits_and_a_longer_one_says_so() {
        let ticket = format!("subrosa:{}", "A".repeat(1_200));
        assert!(super::draw(&ticket).lines().count() > 20);
        assert!(super::draw(&"a".repeat(4_000)).contains("too long"));
    }
}
