//! Configurations that the user keeps: beside the presets, chosen, changed on disk, and kept from the form.

use super::*;
use crate::config::{OwnConfig, OwnConfigs, Source, load};

fn own(name: &str, sets: &[&str]) -> OwnConfig {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    OwnConfig {
        name: name.to_string(),
        path: PathBuf::from(format!("configs/{name}.toml")),
        config: load(Source::Preset("gpt".to_string()), &sets).expect("valid"),
    }
}

fn loaded(configs: Vec<OwnConfig>) -> Message {
    Message::ConfigsLoaded(OwnConfigs {
        configs,
        problems: Vec::new(),
    })
}

fn started(journey: &mut Journey) -> Box<RunConfig> {
    let sent = journey.sent().into_iter();
    let mut config = sent.filter_map(|command| match command {
        Command::Start { config, .. } => Some(config),
        _ => None,
    });
    config.next_back().expect("a run was started")
}

#[test]
fn own_configs_stand_among_the_presets_and_are_trained() {
    let mut journey = Journey::new();
    assert!(journey.effects.contains(&Effect::LoadConfigs));
    let wide = own("wide", &["model.d_ff=99"]);
    journey.tell(loaded(vec![wide.clone()]));
    journey.sees("○ wide");
    journey.sees("yours");
    // The last of the rung.
    journey.keys("left");
    journey.sees("● wide");
    journey.sees("Config: wide");
    journey.keys("enter");
    assert_eq!(*started(&mut journey), wide.config);
}

#[test]
fn a_file_that_changes_is_read_again_and_edits_of_others_stay() {
    let mut journey = Journey::new();
    journey.keys(":");
    journey.text("set train.steps 123");
    journey.keys("enter");
    journey.tell(loaded(vec![own("wide", &["train.steps=50"])]));
    // Still the preset, and still edited.
    journey.sees("Config: gpt, 1 changed");
    journey.keys("1 left");
    journey.sees("Config: wide");
    journey.tell(loaded(vec![own("wide", &["train.steps=60"])]));
    journey.sees("Config: wide");
    journey.keys("enter");
    assert_eq!(started(&mut journey).train.steps, 60);
}

#[test]
fn a_config_whose_file_is_gone_gives_its_place_to_the_preset() {
    let mut journey = Journey::new();
    journey.tell(loaded(vec![own("wide", &[])]));
    journey.keys("left");
    journey.tell(loaded(Vec::new()));
    journey.sees("Config: gpt");
    journey.does_not_see("yours");
}

#[test]
fn the_form_is_kept_under_a_name_and_is_chosen_then() {
    let mut journey = Journey::new();
    journey.keys(":");
    journey.text("set train.steps 123");
    journey.keys("enter w");
    journey.sees("Keep this config");
    journey.sees("my-gpt");
    // A name that cannot be is said in the box.
    journey.keys("ctrl-u");
    journey.text("gpt");
    journey.keys("enter");
    journey.sees("comes with the program");
    journey.keys("ctrl-u");
    journey.text("small");
    journey.keys("enter");
    let kept = journey.effects.iter().find_map(|effect| match effect {
        Effect::KeepConfig { name, config } => Some((name.clone(), config.train.steps)),
        _ => None,
    });
    assert_eq!(kept, Some(("small".to_string(), 123)));
    let configs = vec![own("other", &[]), own("small", &["train.steps=123"])];
    let now = OwnConfigs {
        configs,
        problems: Vec::new(),
    };
    journey.tell(Message::ConfigKept(Ok(("small".to_string(), now))));
    journey.sees("fireside train small");
    journey.sees("● small");
    journey.tell(Message::ConfigKept(Err("disk full".to_string())));
    journey.sees("the config was not kept: disk full");
}

#[test]
fn files_that_cannot_be_used_are_said_once() {
    let mut journey = Journey::new();
    let broken = || {
        Message::ConfigsLoaded(OwnConfigs {
            configs: Vec::new(),
            problems: vec!["configs/a.toml:1:1: unknown key x".into(), "b".into()],
        })
    };
    journey.tell(broken());
    journey.sees("unknown key x; and 1 more");
    journey.keys("esc");
    journey.tell(broken());
    journey.does_not_see("unknown key x");
}
