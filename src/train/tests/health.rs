//! What is measured of the layers.

use super::*;

#[test]
fn health_is_by_layer_and_on_demand() {
    let mut trainer = trainer(config(&[]));
    trainer.step().expect("a step");
    assert!(trainer.health().is_none());
    trainer.measure_health();
    let report = trainer.step().expect("a step");
    let (step, layers) = trainer.health().expect("measured");
    assert_eq!(step, 2);
    assert!(layers.iter().any(|layer| layer.name == "blocks.0"));
    let saturated: Vec<&str> = layers
        .iter()
        .filter(|layer| layer.saturation.is_some())
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(saturated, ["blocks.0"]);
    let total = layers
        .iter()
        .map(|l| l.grad_norm.powi(2))
        .sum::<f64>()
        .sqrt();
    assert!((total - report.grad_norm).abs() < 1e-5 * total);
    assert!(
        layers
            .iter()
            .all(|l| l.update_ratio.is_finite() && l.weight_norm > 0.0)
    );
    assert!(layers.iter().any(|l| l.update_ratio > 0.0));
    trainer.step().expect("a step");
    assert_eq!(trainer.health().map(|(step, _)| step), Some(2));
}

#[test]
fn saturation_is_seen_where_weights_are_huge_and_measuring_changes_nothing() {
    let config = || {
        let sets = [
            "model.hidden_size=16",
            "model.context_length=8",
            "train.batch_size=4",
        ];
        let sets = sets.map(String::from);
        load(Source::Preset("char-rnn".to_string()), &sets).expect("a valid configuration")
    };
    let share = |trainer: &Trainer| {
        let (_, layers) = trainer.health().expect("measured");
        let layer = layers.iter().find(|layer| layer.name == "layers.0");
        layer.expect("a layer").saturation.expect("measured").share
    };
    let mut measured = trainer(config());
    let mut plain = trainer(config());
    for _ in 0..3 {
        measured.measure_health();
        let reports = [measured.step(), plain.step()].map(|step| step.expect("a step").loss);
        assert_eq!(reports[0].to_bits(), reports[1].to_bits());
    }
    assert!(share(&measured) < 0.05, "{}", share(&measured));
    let mut snapshot = plain.snapshot().expect("the device works");
    for tensor in &mut snapshot.model {
        if tensor.name.starts_with("layers.0.weight") {
            tensor.data.iter_mut().for_each(|value| *value *= 100.0);
        }
    }
    plain.restore(&snapshot).expect("the same model");
    plain.measure_health();
    plain.step().expect("a step");
    assert!(share(&plain) > 0.5, "{}", share(&plain));
}

#[test]
fn saturation_is_told_by_the_layers_of_each_rung() {
    for (preset, layers) in [
        ("char-rnn", &["layers.0"][..]),
        ("word-gru", &["layers.0"]),
        ("lstm-attention", &["layers.0", "attention"]),
        ("transformer", &["blocks.0", "blocks.1"]),
        ("gpt", &["blocks.0", "blocks.1"]),
    ] {
        let mut sets = vec!["model.context_length=8", "train.batch_size=4"];
        match preset {
            "transformer" | "gpt" => {
                sets.extend(["model.d_model=16", "model.n_heads=2", "model.n_layers=2"]);
            }
            _ => sets.extend(["model.hidden_size=16", "model.n_layers=1"]),
        }
        let sets: Vec<String> = sets.into_iter().map(String::from).collect();
        let config = load(Source::Preset(preset.to_string()), &sets).expect("valid");
        let mut trainer = trainer(config);
        trainer.measure_health();
        trainer.step().expect("a step");
        let (_, health) = trainer.health().expect("measured");
        let told = health.iter().filter(|layer| layer.saturation.is_some());
        let names: Vec<&str> = told.map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, layers, "{preset}");
    }
}
