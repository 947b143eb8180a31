//! How each layer fared in a step.

use crate::model::layer_group;
use crate::model::saturation::{Saturation, SaturationKind};
use crate::optim::{GradientNorms, StepNorms};
use crate::protocol::{self, LayerHealth};

/// Sums parameters up by layer, in the model's order.
pub(super) fn layer_health(
    gradients: &GradientNorms,
    steps: &[StepNorms],
    saturation: &[(String, Saturation)],
) -> Vec<LayerHealth> {
    struct Squares<'a> {
        layer: &'a str,
        gradient: f64,
        weight: f64,
        update: f64,
    }
    let mut layers: Vec<Squares<'_>> = Vec::new();
    for step in steps {
        let layer = layer_group(&step.name);
        let gradient = gradients
            .parameters
            .iter()
            .find(|(name, _)| *name == step.name)
            .map_or(0.0, |(_, norm)| norm * norm);
        let (weight, update) = (step.weight_norm.powi(2), step.update_norm.powi(2));
        match layers.iter_mut().find(|known| known.layer == layer) {
            Some(known) => {
                known.gradient += gradient;
                known.weight += weight;
                known.update += update;
            }
            None => layers.push(Squares {
                layer,
                gradient,
                weight,
                update,
            }),
        }
    }
    layers
        .into_iter()
        .map(|layer| LayerHealth {
            name: layer.layer.to_string(),
            saturation: saturation
                .iter()
                .find(|(name, _)| name == layer.layer)
                .map(|(_, found)| told(*found)),
            grad_norm: layer.gradient.sqrt(),
            weight_norm: layer.weight.sqrt(),
            // A layer whose weights are all zero (fresh biases) has no scale to compare with.
            update_ratio: if layer.weight > 0.0 {
                (layer.update / layer.weight).sqrt()
            } else {
                0.0
            },
        })
        .collect()
}

fn told(found: Saturation) -> protocol::Saturation {
    protocol::Saturation {
        kind: match found.kind {
            SaturationKind::States => protocol::SaturationKind::States,
            SaturationKind::Units => protocol::SaturationKind::Units,
        },
        share: found.share,
    }
}
