//! A grid of dots finer than the cells of the terminal: eight to a cell with braille, two with ASCII.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// What dots are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Symbols {
    /// 2 × 4 dots a cell.
    #[default]
    Braille,
    /// 1 × 2 dots a cell, with `'`, `.` and `:`.
    Ascii,
}

impl Symbols {
    /// Dots per cell, across and down.
    pub fn dots(self) -> (usize, usize) {
        match self {
            Symbols::Braille => (2, 4),
            Symbols::Ascii => (1, 2),
        }
    }

    fn character(self, mask: u8) -> char {
        match (self, mask) {
            (Symbols::Braille, mask) => char::from_u32(0x2800 + u32::from(mask)).unwrap_or(' '),
            (Symbols::Ascii, 0) => ' ',
            (Symbols::Ascii, 1) => '\'',
            (Symbols::Ascii, 2) => '.',
            (Symbols::Ascii, _) => ':',
        }
    }

    /// The bit of the dot at (`x`, `y`) within its cell.
    fn bit(self, x: usize, y: usize) -> u8 {
        match self {
            // Rows 0 to 2 number down the left column, then the right; row 3 came later to the standard.
            Symbols::Braille => match (x, y) {
                (_, 3) => 0x40 << x,
                (0, _) => 1 << y,
                _ => 8 << y,
            },
            Symbols::Ascii => 1 << y,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    mask: u8,
    layer: u8,
    style: Style,
}

/// Dots with a style a cell. A higher layer takes a whole cell: a bright line keeps its shape over a faint band.
#[derive(Debug, Clone)]
pub struct Canvas {
    symbols: Symbols,
    area: Rect,
    cells: Vec<Cell>,
}

impl Canvas {
    pub fn new(area: Rect, symbols: Symbols) -> Self {
        Self {
            symbols,
            area,
            cells: vec![Cell::default(); area.width as usize * area.height as usize],
        }
    }

    /// Width in dots.
    pub fn width(&self) -> usize {
        self.area.width as usize * self.symbols.dots().0
    }

    /// Height in dots.
    pub fn height(&self) -> usize {
        self.area.height as usize * self.symbols.dots().1
    }

    /// Sets one dot; a dot outside is nothing.
    pub fn dot(&mut self, x: i64, y: i64, layer: u8, style: Style) {
        if x < 0 || y < 0 || x >= self.width() as i64 || y >= self.height() as i64 {
            return;
        }
        let (x, y) = (x as usize, y as usize);
        let (across, down) = self.symbols.dots();
        let at = y / down * self.area.width as usize + x / across;
        let cell = &mut self.cells[at];
        if cell.mask != 0 && cell.layer > layer {
            return;
        }
        if cell.layer < layer {
            cell.mask = 0;
        }
        cell.mask |= self.symbols.bit(x % across, y % down);
        cell.layer = layer;
        cell.style = style;
    }

    /// Writes the cells that have dots.
    pub fn render(&self, buffer: &mut Buffer) {
        let width = self.area.width.max(1) as usize;
        for (at, cell) in self.cells.iter().enumerate() {
            if cell.mask == 0 {
                continue;
            }
            let position = (
                self.area.x + (at % width) as u16,
                self.area.y + (at / width) as u16,
            );
            if let Some(target) = buffer.cell_mut(position) {
                target
                    .set_char(self.symbols.character(cell.mask))
                    .set_style(cell.style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dot_has_its_own_bit() {
        for symbols in [Symbols::Braille, Symbols::Ascii] {
            let (across, down) = symbols.dots();
            let mut all = 0u8;
            for x in 0..across {
                for y in 0..down {
                    assert_eq!(all & symbols.bit(x, y), 0);
                    all |= symbols.bit(x, y);
                }
            }
            assert_eq!(all.count_ones() as usize, across * down);
        }
        assert_eq!(Symbols::Braille.character(0xff), '⣿');
        assert_eq!(Symbols::Braille.character(Symbols::Braille.bit(1, 3)), '⢀');
    }

    #[test]
    fn the_higher_layer_keeps_the_cell_and_outside_is_nothing() {
        let area = Rect::new(0, 0, 2, 1);
        let mut canvas = Canvas::new(area, Symbols::Braille);
        canvas.dot(0, 0, 1, Style::new());
        canvas.dot(1, 1, 2, Style::new());
        canvas.dot(0, 3, 1, Style::new());
        canvas.dot(-1, 0, 3, Style::new());
        canvas.dot(4, 0, 3, Style::new());
        canvas.dot(0, 99, 3, Style::new());
        let mut buffer = Buffer::empty(area);
        canvas.render(&mut buffer);
        assert_eq!(buffer[(0, 0)].symbol(), "⠐");
        assert_eq!(buffer[(1, 0)].symbol(), " ");
    }
}
