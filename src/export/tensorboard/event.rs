//! TensorBoard's messages, as protocol buffers write them: `Event` and the parts of `Summary` that a run needs
//! (`event.proto`, `summary.proto`, `tensor.proto` of TensorBoard).

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum What<'a> {
    /// Begins every file.
    Version,
    /// Values of one step under their tags.
    Scalars(&'a [(&'a str, f64)]),
    /// Text in Markdown under a tag.
    Text { tag: &'a str, text: &'a str },
}

/// An `Event`, encoded. `wall_time` is in seconds since 1970.
pub fn encode(wall_time: f64, step: u64, what: &What<'_>) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    event.varint(2, step);
    match what {
        What::Version => event.bytes(3, b"brain.Event:2"),
        What::Scalars(values) => {
            let mut summary = Message::default();
            for (tag, value) in *values {
                let mut item = Message::default();
                item.bytes(1, tag.as_bytes());
                // Field 2 is a 32-bit float: that is what TensorBoard keeps.
                item.float(2, *value as f32);
                summary.message(1, &item);
            }
            event.message(5, &summary);
        }
        What::Text { tag, text } => {
            let mut item = Message::default();
            item.bytes(1, tag.as_bytes());
            item.message(8, &strings(text));
            item.message(9, &text_plugin());
            let mut summary = Message::default();
            summary.message(1, &item);
            event.message(5, &summary);
        }
    }
    event.0
}

/// A `TensorProto` of type string and shape `[1]`.
fn strings(text: &str) -> Message {
    const DT_STRING: u64 = 7;
    let mut dimension = Message::default();
    dimension.varint(1, 1);
    let mut shape = Message::default();
    shape.message(2, &dimension);
    let mut tensor = Message::default();
    tensor.varint(1, DT_STRING);
    tensor.message(2, &shape);
    tensor.bytes(8, text.as_bytes());
    tensor
}

/// `SummaryMetadata` that hands a value to the text dashboard.
fn text_plugin() -> Message {
    let mut plugin = Message::default();
    plugin.bytes(1, b"text");
    let mut metadata = Message::default();
    metadata.message(1, &plugin);
    metadata
}

/// A message in the making: fields one after another, each behind its number and kind.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.raw_varint(field << 3 | kind);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down from `event.proto`: field 1 double, field 2 varint, field 3 string.
    #[test]
    fn an_event_is_these_bytes() {
        let mut expected = vec![0x09];
        expected.extend(1.5f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x1a, 13]);
        expected.extend(b"brain.Event:2");
        assert_eq!(encode(1.5, 300, &What::Version), expected);
        let scalar = encode(0.0, 1, &What::Scalars(&[("a", 0.5)]));
        assert_eq!(
            scalar[9..],
            [
                0x10, 1, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f
            ]
        );
    }
}
