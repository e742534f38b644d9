//! Tables of text, columns aligned.

/// Lines of a table: `head` first, numbers (as they begin) to the right, words to the left.
pub(super) fn render(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let numeric = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    };
    let line = |cells: Vec<&str>| {
        let mut text = String::from(" ");
        for (column, cell) in cells.iter().enumerate() {
            let padding = " ".repeat(width(column).saturating_sub(cell.chars().count()));
            text.push(' ');
            if numeric(column) && !rows.is_empty() {
                text.push_str(&padding);
                text.push_str(cell);
            } else {
                text.push_str(cell);
                text.push_str(&padding);
            }
            text.push(' ');
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(
        rows.iter()
            .map(|row| line(row.iter().map(String::as_str).collect())),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows = vec![
            vec!["Ada".to_owned(), "7 ms".to_owned()],
            vec!["Benjamin".to_owned(), "123 ms".to_owned()],
        ];
        assert_eq!(
            render(&["who", "delay"], &rows),
            ["  who        delay", "  Ada         7 ms", "  Benjamin  123 ms"]
        );
    }
}
