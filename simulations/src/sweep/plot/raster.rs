//! SVG to PNG with the figure's own font.

use std::sync::Arc;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::FONT;

/// Pixels for each unit of the SVG: sharp in print at a column's width.
const SCALE: f32 = 2.0;
/// The font's own name.
const FAMILY: &str = "DejaVu Sans";

/// A PNG file's bytes.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, String> {
    let wrong = |error: String| format!("cannot turn the figure into a PNG: {error}");
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let options = Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| wrong(error.to_string()))?;
    let size = tree
        .size()
        .to_int_size()
        .scale_by(SCALE)
        .ok_or_else(|| wrong("it has no size".to_owned()))?;
    let mut pixels =
        Pixmap::new(size.width(), size.height()).ok_or_else(|| wrong("it is too large".to_owned()))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| wrong(error.to_string()))
}
