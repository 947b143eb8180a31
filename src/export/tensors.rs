//! Tensors in safetensors files (<https://github.com/huggingface/safetensors>): float32 out, float32, float16 or bfloat16 in.

use safetensors::{Dtype, SafeTensors};

use crate::state::NamedTensor;

/// The file of these tensors, with the metadata `format = pt` that `transformers` asks for: the header's length, the header as
/// JSON padded to eight bytes, then the values, little-endian, in the order given.
pub fn write(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert(
        "__metadata__".to_string(),
        serde_json::json!({ "format": "pt" }),
    );
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + 4 * tensor.data.len();
        header.insert(
            tensor.name.clone(),
            serde_json::json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] }),
        );
        offset = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + offset);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    for value in tensors.iter().flat_map(|tensor| &tensor.data) {
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

/// The tensors of a file whose names `wanted` accepts, as float32.
///
/// # Errors
/// A sentence: the file is no safetensors file, or a wanted tensor holds something else than float32, float16 or bfloat16.
pub fn read(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    file.tensors()
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, view)| {
            let data = view.data();
            let data = match view.dtype() {
                Dtype::F32 => {
                    let (chunks, _) = data.as_chunks::<4>();
                    chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
                }
                Dtype::BF16 => {
                    let (chunks, _) = data.as_chunks::<2>();
                    chunks
                        .iter()
                        .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
                        .collect()
                }
                Dtype::F16 => {
                    let (chunks, _) = data.as_chunks::<2>();
                    chunks
                        .iter()
                        .map(|b| half(u16::from_le_bytes(*b)))
                        .collect()
                }
                other => {
                    return Err(format!(
                        "tensor `{name}` holds {other:?}; F32, F16 and BF16 can be read"
                    ));
                }
            };
            Ok(NamedTensor {
                name,
                shape: view.shape().to_vec(),
                data,
            })
        })
        .collect()
}

/// IEEE 754 binary16 to binary32, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let tensors = [NamedTensor {
            name: "a".into(),
            shape: vec![2, 2],
            data: vec![1.5, -0.0, f32::MIN_POSITIVE, f32::MAX],
        }];
        let bytes = write(&tensors);
        assert_eq!(read(&bytes, |_| true).unwrap(), tensors);
        assert_eq!(read(&bytes, |name| name != "a").unwrap(), []);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        assert!(read(&bytes[..bytes.len() - 1], |_| true).is_err());
        assert!(read(b"not a file", |_| true).is_err());
    }

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x3555, 0.333_251_95),
            (0x0400, 6.103_515_6e-5),
            (0x8000, -0.0f32),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#x}");
        }
        assert_eq!(half(0x7c00), f32::INFINITY);
        assert!(half(0x7e00).is_nan());
    }
}
