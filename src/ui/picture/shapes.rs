//! Braille, box drawing and block elements as paths.

use std::fmt::Write;

/// Whether [`draw`] draws it.
pub fn has(character: char) -> bool {
    let mut path = String::new();
    draw(character, (0.0, 0.0), (8.0, 16.0), &mut path);
    !path.is_empty() || character == '\u{2800}'
}

/// Adds the shape of `character` in the cell at `at` of size `size` to an SVG path.
pub fn draw(character: char, at: (f64, f64), size: (f64, f64), path: &mut String) {
    match character {
        '\u{2801}'..='\u{28ff}' => braille(character, at, size, path),
        '\u{2580}'..='\u{259f}' => block(character, at, size, path),
        '\u{2500}'..='\u{257f}' => lines(character, at, size, path),
        '●' => circle(
            (at.0 + size.0 / 2.0, at.1 + size.1 * 0.52),
            size.0 * 0.42,
            path,
        ),
        '◆' => {
            let (x, y, r) = (at.0 + size.0 / 2.0, at.1 + size.1 * 0.52, size.0 * 0.46);
            let _ = write!(
                path,
                "M{:.2} {y:.2}L{x:.2} {:.2}L{:.2} {y:.2}L{x:.2} {:.2}Z",
                x - r,
                y - r,
                x + r,
                y + r
            );
        }
        _ => {}
    }
}

fn rect(x: f64, y: f64, width: f64, height: f64, path: &mut String) {
    let _ = write!(path, "M{x:.2} {y:.2}h{width:.2}v{height:.2}h{:.2}Z", -width);
}

fn circle(centre: (f64, f64), radius: f64, path: &mut String) {
    let (x, y) = centre;
    let across = 2.0 * radius;
    let _ = write!(
        path,
        "M{:.2} {y:.2}a{radius:.2} {radius:.2} 0 1 0 {across:.2} 0a{radius:.2} {radius:.2} 0 1 0 {:.2} 0Z",
        x - radius,
        -across
    );
}

fn braille(character: char, at: (f64, f64), size: (f64, f64), path: &mut String) {
    // Bit by bit, the dots' columns and rows.
    const PLACES: [(u8, u8); 8] = [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (0, 3),
        (1, 3),
    ];
    let mask = character as u32 - 0x2800;
    let step = (size.0 / 2.0, size.1 / 4.0);
    for (bit, (column, row)) in PLACES.iter().enumerate() {
        if mask >> bit & 1 == 1 {
            let centre = (
                at.0 + (f64::from(*column) + 0.5) * step.0,
                at.1 + (f64::from(*row) + 0.5) * step.1,
            );
            circle(centre, step.0.min(step.1) * 0.40, path);
        }
    }
}

fn block(character: char, at: (f64, f64), size: (f64, f64), path: &mut String) {
    let (x, y) = at;
    let (width, height) = size;
    let mut part = |left: f64, top: f64, across: f64, down: f64| {
        rect(
            x + left * width,
            y + top * height,
            across * width,
            down * height,
            path,
        );
    };
    match character {
        '▀' => part(0.0, 0.0, 1.0, 0.5),
        // Lower blocks, an eighth to the whole.
        '▁'..='█' => {
            let share = f64::from(character as u32 - 0x2580) / 8.0;
            part(0.0, 1.0 - share, 1.0, share);
        }
        // Left blocks, seven eighths down to one.
        '▉'..='▏' => part(0.0, 0.0, f64::from(0x2590 - character as u32) / 8.0, 1.0),
        '▐' => part(0.5, 0.0, 0.5, 1.0),
        '▔' => part(0.0, 0.0, 1.0, 0.125),
        '▕' => part(0.875, 0.0, 0.125, 1.0),
        '▖' => part(0.0, 0.5, 0.5, 0.5),
        '▗' => part(0.5, 0.5, 0.5, 0.5),
        '▘' => part(0.0, 0.0, 0.5, 0.5),
        '▝' => part(0.5, 0.0, 0.5, 0.5),
        // Shades as a grid of small squares.
        '░' | '▒' | '▓' => {
            let share = [0.25, 0.5, 0.72][character as usize - '░' as usize];
            for column in 0..3 {
                for row in 0..6 {
                    part(
                        f64::from(column) / 3.0,
                        f64::from(row) / 6.0,
                        share / 3.0 * 1.2,
                        share / 6.0 * 1.4,
                    );
                }
            }
        }
        _ => {}
    }
}

/// Which arms a box-drawing character has: left, right, up, down.
fn arms(character: char) -> Option<(bool, bool, bool, bool)> {
    Some(match character {
        '─' | '━' => (true, true, false, false),
        '│' | '┃' => (false, false, true, true),
        '┌' | '┏' | '╭' => (false, true, false, true),
        '┐' | '┓' | '╮' => (true, false, false, true),
        '└' | '┗' | '╰' => (false, true, true, false),
        '┘' | '┛' | '╯' => (true, false, true, false),
        '├' | '┣' => (false, true, true, true),
        '┤' | '┫' => (true, false, true, true),
        '┬' | '┳' => (true, true, false, true),
        '┴' | '┻' => (true, true, true, false),
        '┼' | '╋' => (true, true, true, true),
        _ => return None,
    })
}

fn lines(character: char, at: (f64, f64), size: (f64, f64), path: &mut String) {
    let heavy = matches!(
        character,
        '━' | '┃' | '┏' | '┓' | '┗' | '┛' | '┣' | '┫' | '┳' | '┻' | '╋'
    );
    let thick = if heavy { 2.0 } else { 1.0 };
    let (middle_x, middle_y) = (at.0 + size.0 / 2.0, at.1 + size.1 / 2.0);
    if let Some((left, right, up, down)) = arms(character) {
        let half = thick / 2.0;
        if left || right {
            let from = if left { at.0 } else { middle_x - half };
            let to = if right {
                at.0 + size.0
            } else {
                middle_x + half
            };
            rect(from, middle_y - half, to - from, thick, path);
        }
        if up || down {
            let from = if up { at.1 } else { middle_y - half };
            let to = if down { at.1 + size.1 } else { middle_y + half };
            rect(middle_x - half, from, thick, to - from, path);
        }
        return;
    }
    // Broken lines: so many dashes to a cell, across or down.
    let (dashes, across) = match character {
        '╌' | '╍' => (2, true),
        '┄' | '┅' => (3, true),
        '┈' | '┉' => (4, true),
        '╎' | '╏' => (2, false),
        '┆' | '┇' => (3, false),
        '┊' | '┋' => (4, false),
        _ => return,
    };
    for dash in 0..dashes {
        if across {
            let step = size.0 / f64::from(dashes);
            rect(
                at.0 + f64::from(dash) * step,
                middle_y - 0.5,
                step * 0.5,
                1.0,
                path,
            );
        } else {
            let step = size.1 / f64::from(dashes);
            rect(
                middle_x - 0.5,
                at.1 + f64::from(dash) * step,
                1.0,
                step * 0.55,
                path,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_screens_draw_with_has_a_shape() {
        for character in "─│┌┐└┘├┤┬┴┼╎┈┄⣿⡀▁▂▃▄▅▆▇█▎▌●◆".chars()
        {
            assert!(has(character), "{character}");
        }
        for character in "aä好 ▲".chars() {
            assert!(!has(character), "{character}");
        }
    }

    #[test]
    fn each_dot_of_braille_is_one_circle() {
        for mask in 1u32..256 {
            let mut path = String::new();
            let character = char::from_u32(0x2800 + mask).unwrap();
            draw(character, (0.0, 0.0), (8.0, 16.0), &mut path);
            assert_eq!(path.matches('Z').count() as u32, mask.count_ones());
        }
    }
}
