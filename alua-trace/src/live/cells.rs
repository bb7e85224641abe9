//! Writes text into the screen buffer: clipped, aligned, and through one reused string, so that a
//! redraw allocates next to nothing while the trace is being measured.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::safe;

/// A part of the screen to write to, and a string to build text in.
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) area: Rect,
    text: String,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, area: Rect) -> Self {
        let area = area.intersection(buffer.area);
        Self {
            buffer,
            area,
            text: String::with_capacity(256),
        }
    }

    /// Text in line `y` from column `x` on, at most `width` wide; returns where it ended.
    /// `push` must append safe text only.
    pub(super) fn left(
        &mut self,
        (x, y): (u16, u16),
        width: u16,
        style: Style,
        push: impl FnOnce(&mut String),
    ) -> u16 {
        self.text.clear();
        push(&mut self.text);
        self.put((x, y), width, style)
    }

    /// Text that ends at the right edge of `width` columns.
    pub(super) fn right(
        &mut self,
        (x, y): (u16, u16),
        width: u16,
        style: Style,
        push: impl FnOnce(&mut String),
    ) {
        self.text.clear();
        push(&mut self.text);
        // Numbers have no wide characters: one column each.
        let mut used = u16::try_from(self.text.chars().count()).unwrap_or(u16::MAX);
        if used > width {
            // A number without its last digits would be another number.
            self.text.replace_range(.., "…");
            used = 1;
        }
        self.put((x + width.saturating_sub(used), y), used, style);
    }

    /// A name of a device or user.
    pub(super) fn name(&mut self, at: (u16, u16), width: u16, style: Style, name: &str) -> u16 {
        self.left(at, width, style, |out| {
            safe::push(out, name, usize::from(width))
        })
    }

    fn put(&mut self, (x, y): (u16, u16), width: u16, style: Style) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return x;
        }
        let width = width.min(self.area.width - x);
        let (left, top) = (self.area.x + x, self.area.y + y);
        let (end, _) = self
            .buffer
            .set_stringn(left, top, &self.text, usize::from(width), style);
        end - self.area.x
    }
}
