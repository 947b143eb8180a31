//! SVG into PNG, with the fonts of the system.

use resvg::{tiny_skia, usvg};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error(
        "no {0} font was found on this system, so text cannot be drawn into a PNG: install one \
         (Debian and Ubuntu: `apt-get install fonts-dejavu-core`; Fedora: `dnf install dejavu-sans-fonts \
         dejavu-sans-mono-fonts`)"
    )]
    NoFont(&'static str),
    #[error("the SVG could not be read back: {0}")]
    Svg(#[from] usvg::Error),
    #[error("a picture of {0} × {1} pixels is too large or empty")]
    Size(u32, u32),
    #[error("the PNG could not be written: {0}")]
    Encode(String),
}

/// What the text of an SVG is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Font {
    /// `monospace`; nothing else will do.
    Monospace,
    /// `sans-serif`; any other font rather than none.
    Proportional,
}

/// An SVG as PNG bytes, `scale` pixels to a user unit.
///
/// # Errors
/// No such font on the system; an SVG that cannot be read; a size of nothing.
pub fn rasterise(svg: &str, scale: f32, font: Font) -> Result<Vec<u8>, PictureError> {
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_system_fonts();
    let family = match font {
        Font::Monospace => {
            // DejaVu has every symbol that the screens use.
            let family = family(fonts, |face| face.monospaced, &["DejaVu"]);
            let family = family.ok_or(PictureError::NoFont("monospace"))?;
            fonts.set_monospace_family(&family);
            family
        }
        Font::Proportional => {
            let plain = |face: &usvg::fontdb::FaceInfo| !face.monospaced;
            let known = [
                "DejaVu Sans",
                "Noto Sans",
                "Liberation Sans",
                "Arial",
                "Sans",
            ];
            let family = family(fonts, plain, &known).or_else(|| family(fonts, |_| true, &[]));
            let family = family.ok_or(PictureError::NoFont("readable"))?;
            fonts.set_sans_serif_family(&family);
            family
        }
    };
    options.font_family = family;
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size();
    let (width, height) = (
        (size.width() * scale).ceil() as u32,
        (size.height() * scale).ceil() as u32,
    );
    let mut pixels =
        tiny_skia::Pixmap::new(width, height).ok_or(PictureError::Size(width, height))?;
    let transform = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|error| PictureError::Encode(error.to_string()))
}

/// A family among the faces that `fits`: one whose name begins as an early one of `known`, else any.
fn family(
    fonts: &usvg::fontdb::Database,
    fits: impl Fn(&usvg::fontdb::FaceInfo) -> bool,
    known: &[&str],
) -> Option<String> {
    let rank = |family: &str| {
        let exact = known.iter().position(|name| family == *name);
        let begins = known.iter().position(|name| family.starts_with(name));
        let last = known.len();
        exact.unwrap_or_else(|| last + begins.unwrap_or(last))
    };
    fonts
        .faces()
        .filter(|face| fits(face))
        .filter_map(|face| face.families.first().map(|family| family.0.clone()))
        .min_by_key(|family| rank(family))
}
