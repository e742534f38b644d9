//! Text from others, made safe for a terminal.

/// Most characters of foreign text that are shown in one place: longer than any ticket or reason, short of a flood.
pub(crate) const FOREIGN_CHARS_MAX: usize = 8_192;

/// Replaces what could move the cursor, start an escape sequence, turn the direction of writing, or hide: control
/// characters (C0, C1, DEL), line separators, bidirectional controls, zero-width characters, tags.
pub(crate) fn sanitise(text: &str) -> String {
    text.chars()
        .take(FOREIGN_CHARS_MAX)
        .map(|c| if is_unsafe(c) { '\u{FFFD}' } else { c })
        .collect()
}

/// As [`sanitise`], line by line. Selectors and joiners that belong to emoji are left out rather than shown.
pub(crate) fn sanitise_lines(text: &str) -> Vec<String> {
    let text: String = text
        .chars()
        .take(FOREIGN_CHARS_MAX)
        .filter(|c| !matches!(c, '\u{200D}' | '\u{FE0E}' | '\u{FE0F}'))
        .collect();
    text.split('\n').map(sanitise).collect()
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_bidi_and_invisible_characters_are_replaced() {
        for hostile in [
            "a\x1b]0;owned\x07b",
            "a\u{9b}2Jb",
            "a\rb",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{2028}b",
            "a\u{e0041}b",
        ] {
            let safe = sanitise(hostile);
            assert!(safe.starts_with('a') && safe.ends_with('b'));
            assert!(
                safe.contains('\u{FFFD}') && !safe.chars().any(is_unsafe),
                "{hostile:?}"
            );
        }
        assert_eq!(sanitise("Zoë 李 😀"), "Zoë 李 😀");
    }

    #[test]
    fn a_flood_is_cut() {
        assert_eq!(
            sanitise(&"x".repeat(FOREIGN_CHARS_MAX + 1)).len(),
            FOREIGN_CHARS_MAX
        );
    }
}
