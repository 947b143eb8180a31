//! Fixed positions by sines and cosines (Vaswani et al. 2017, section 3.5, <https://arxiv.org/abs/1706.03762>).

use burn::tensor::{Device, Tensor, TensorData};

/// Row `p`: `sin(p·w_i)` at column `2i` and `cos(p·w_i)` at `2i+1`, with `w_i = 10000^(-2i/width)`.
///
/// # Shapes
/// - output: `[count, width]`
pub fn sinusoids(count: usize, width: usize, device: &Device) -> Tensor<2> {
    let mut values = Vec::with_capacity(count * width);
    for position in 0..count {
        for column in 0..width {
            let rate = (-(10_000f64.ln()) * (column - column % 2) as f64 / width as f64).exp();
            let angle = position as f64 * rate;
            let value = if column % 2 == 0 {
                angle.sin()
            } else {
                angle.cos()
            };
            values.push(value as f32);
        }
    }
    Tensor::from_data(TensorData::new(values, [count, width]), device)
}
