//! From what a sender calls a file to a name that is safe to create.

/// Bytes of a safe name. Reason: file systems allow 255, and a number may be added.
pub const SAFE_NAME_BYTES_MAX: usize = 180;

/// A name without folders, without anything that hides, and that is no device or dotfile on any system. Never empty.
#[must_use]
pub fn safe_file_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().map(|c| if is_risky(c) { '_' } else { c }).collect();
    let trimmed = clean.trim_matches(|c: char| c == '.' || c == ' ');
    let cut = cut_keeping_extension(trimmed);
    let cut = cut.trim_matches(|c: char| c == '.' || c == ' ');
    if cut.is_empty() {
        return "file".to_owned();
    }
    if is_device(cut) {
        format!("_{cut}")
    } else {
        cut.to_owned()
    }
}

/// Characters that mean something to a shell's or a system's path, or that hide or turn the writing.
fn is_risky(c: char) -> bool {
    crate::meeting::name::is_forbidden(c)
        || matches!(
            c,
            '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\u{200C}' | '\u{200D}'
        )
}

/// Names that Windows opens as devices, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.chars().count() == 1 && rest.chars().all(|c| c.is_numeric()))
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || numbered("COM")
        || numbered("LPT")
}

fn cut_keeping_extension(name: &str) -> String {
    if name.len() <= SAFE_NAME_BYTES_MAX {
        return name.to_owned();
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let extension = if extension.len() <= 16 { extension } else { "" };
    let room = SAFE_NAME_BYTES_MAX - extension.len() - 1;
    let mut end = room.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    if extension.is_empty() {
        name[..end].to_owned()
    } else {
        format!("{}.{extension}", &name[..end])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_names_become_harmless() {
        for (given, safe) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\autoexec.bat", "autoexec.bat"),
            ("/etc/cron.d/evil", "evil"),
            ("C:evil.exe", "C_evil.exe"),
            ("..", "file"),
            ("", "file"),
            ("/", "file"),
            (".bashrc", "bashrc"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("a\u{0}b\nc", "a_b_c"),
            ("nul.txt", "_nul.txt"),
            ("LPT1", "_LPT1"),
            ("trailing. ", "trailing"),
            ("Übersicht für 李.pdf", "Übersicht für 李.pdf"),
        ] {
            assert_eq!(safe_file_name(given), safe, "{given:?}");
        }
        let long = safe_file_name(&format!("{}.tar", "é".repeat(300)));
        assert!(long.len() <= SAFE_NAME_BYTES_MAX && long.ends_with(".tar"));
    }

    proptest! {
        #[test]
        fn a_safe_name_is_one_component_and_stays_as_it_is(given in any::<String>()) {
            let safe = safe_file_name(&given);
            prop_assert!(!safe.is_empty() && safe.len() <= SAFE_NAME_BYTES_MAX + 1);
            prop_assert!(!safe.contains(['/', '\\', '\0', ':']) && !safe.starts_with('.'));
            prop_assert_eq!(std::path::Path::new(&safe).components().count(), 1);
            prop_assert_eq!(safe_file_name(&safe), safe);
        }
    }
}
