//! SVG to PNG, with a font that is built in: a container has none.

use std::sync::Arc;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

/// Pixels per unit of the picture, so that text is sharp on dense screens and in print.
const SCALE: f32 = 2.0;

/// Why a picture could not be turned into pixels.
#[derive(Debug, thiserror::Error)]
#[error("the picture could not be drawn as PNG: {0}")]
pub struct PngError(String);

/// Draws a picture.
///
/// # Errors
/// Where the SVG cannot be read or has no size; ours can, and has.
pub fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    let mut fonts = Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".into(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| PngError(error.to_string()))?;
    let size = tree.size().to_int_size().scale_by(SCALE);
    let mut pixels = size
        .and_then(|size| Pixmap::new(size.width(), size.height()))
        .ok_or_else(|| PngError("it has no size".into()))?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .map_err(|error| PngError(error.to_string()))
}
