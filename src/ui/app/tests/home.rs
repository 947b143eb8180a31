//! Home: the ladder, the form and its preview, the runs that can go on.

use super::*;

#[test]
fn the_first_screen_offers_the_ladder_and_asks_for_a_preview() {
    let mut journey = Journey::new();
    assert!(journey.effects.contains(&Effect::LoadRuns));
    for wanted in [
        "Ladder",
        "1 char RNN",
        "5 GPT",
        "Config: gpt",
        "Preview",
        "train",
        "help",
        "quit",
    ] {
        journey.sees(wanted);
    }
    let timer = journey.effects.iter().find_map(|effect| match effect {
        Effect::After(_, timer @ Timer::Preview(_)) => Some(*timer),
        _ => None,
    });
    journey.tell(Message::Timer(timer.expect("a preview is asked for")));
    let sent = journey.sent();
    let [Command::Preview { request, config }] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(config.model.kind(), ModelKind::Gpt);
    let kind = EventKind::Previewed {
        request: *request,
        preview: Ok(preview()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    for wanted in [
        "0.81 M",
        "62 MB",
        "56 ms",
        " old",
        "the text is read in full once",
    ] {
        journey.sees(wanted);
    }
}

#[test]
fn only_the_newest_preview_is_asked_for_and_shown() {
    let mut journey = Journey::new();
    journey.sent();
    journey.keys("tab +");
    journey.keys("+");
    journey.tell(Message::Timer(Timer::Preview(1)));
    assert_eq!(journey.sent(), [], "an older timer asks for nothing");
    let kind = EventKind::Previewed {
        request: 1,
        preview: Err("stale".to_string()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    journey.does_not_see("stale");
}

#[test]
fn the_ladder_chooses_model_and_preset() {
    let mut journey = Journey::new();
    journey.keys("g g");
    journey.sees("Config: char-rnn");
    journey.keys("l");
    journey.sees("Config: char-rnn-full");
    journey.keys("G h h");
    journey.does_not_see("char-rnn-full");
    journey.keys("g g enter");
    let sent = journey.sent();
    let [
        Command::Start {
            run: 1,
            config,
            origin,
        },
    ] = sent.as_slice()
    else {
        panic!("{sent:?}");
    };
    assert_eq!(config.model.kind(), ModelKind::CharRnn);
    assert_eq!(*origin, Origin::New { dir: None });
    assert_eq!(journey.app.screen(), Screen::Train);
}

#[test]
fn a_bad_value_is_marked_while_typing_and_keeps_the_run_from_starting() {
    let mut journey = Journey::new();
    journey.keys("/");
    journey.text("n_layers");
    journey.keys("enter e ctrl-u");
    journey.text("9999");
    journey.sees("9999");
    journey.sees("✗");
    journey.sees("1 problem to fix");
    journey.keys("enter");
    journey.sent();
    journey.keys("enter");
    assert_eq!(journey.sent(), []);
    assert_eq!(journey.app.screen(), Screen::Home);
    journey.keys("esc x");
    journey.does_not_see("✗");
    journey.keys("enter");
    assert_eq!(journey.sent().len(), 1);
}

#[test]
fn a_field_is_found_by_its_initials() {
    let mut journey = Journey::new();
    journey.keys("/");
    journey.text("lr");
    journey.sees("learning_rate");
}

#[test]
fn typing_locks_the_hot_keys() {
    let mut journey = Journey::new();
    journey.keys("/");
    journey.text("q?:z1");
    assert_eq!(journey.quit(), None);
    journey.sees("q?:z1");
    journey.sees("no field contains this");
    journey.keys("esc");
    journey.does_not_see("q?:z1");
    journey.keys("q");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn c_and_d_jump_to_their_fields() {
    let mut journey = Journey::new();
    journey.keys("d e ctrl-u");
    journey.text("flex");
    journey.keys("enter enter");
    let sent = journey.sent();
    let Some(Command::Start { config, .. }) = sent.last() else {
        panic!("{sent:?}");
    };
    assert_eq!(config.device, "flex");
    let mut journey = Journey::new();
    journey.keys("c");
    journey.sees("corpus");
    assert_eq!(journey.app.contexts()[0], Context::Form);
}

#[test]
fn runs_on_disk_are_offered_and_resumed() {
    let mut journey = Journey::new();
    let mut done = summary("gpt-fables", 2_000);
    done.status = RunStatus::Finished;
    let runs = vec![summary("gpt-stories", 700), done];
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(runs).into()),
        now: 9_200,
    });
    journey.sees("Go on with a run");
    journey.sees("gpt-stories");
    journey.does_not_see("gpt-fables");
    journey.keys("g g");
    journey.sees("700 of 2 000");
    journey.sees("2 h ago");
    // It brings its own config, which cannot be changed here; what asks for a field turns to a new run.
    journey.sees("keeps the configuration it was");
    journey.keys("tab right x");
    journey.does_not_see("changed");
    journey.keys("c");
    journey.sees("Config: gpt");
    journey.keys("1 g g");
    journey.keys("enter");
    let dir = PathBuf::from("runs/gpt-stories");
    assert!(
        journey
            .effects
            .contains(&Effect::OpenRun { dir: dir.clone() })
    );
    let config =
        crate::config::load(crate::config::Source::Preset("gpt".into()), &[]).expect("a preset");
    journey.sent();
    journey.tell(Message::RunOpened {
        dir: dir.clone(),
        config: Ok(Box::new(config)),
    });
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Start { origin: Origin::Resume { dir: d }, .. }] if *d == dir
    ));
    // Its logs are read once they say what it goes on from.
    let asked = |journey: &Journey| {
        let wanted = Effect::LoadHistory {
            run: 1,
            dir: dir.clone(),
        };
        journey.effects.contains(&wanted)
    };
    assert!(!asked(&journey));
    let started = crate::protocol::RunInfo {
        start_step: 100,
        dir: dir.clone(),
        ..info()
    };
    journey.event(EventKind::Started(Box::new(started)));
    assert!(asked(&journey));
}

#[test]
fn the_list_of_runs_shows_all_and_says_why_one_cannot_go_on() {
    let mut journey = Journey::new();
    journey.keys("r");
    journey.sees("reading the runs folder");
    let mut busy = summary("gpt-busy", 10);
    busy.resumable = false;
    busy.status = RunStatus::Running;
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![busy, summary("gpt-stories", 700)]).into()),
        now: 9_200,
    });
    for wanted in ["Runs: 2", "gpt-busy", "700/2 000", "2.213", "1.930"] {
        journey.sees(wanted);
    }
    journey.keys("enter");
    assert!(journey.effects.contains(&Effect::Attach {
        run: 1,
        dir: PathBuf::from("runs/gpt-busy"),
    }));
    let mut empty = summary("gpt-empty", 0);
    empty.resumable = false;
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(vec![empty]).into()),
        now: 9_200,
    });
    journey.keys("enter");
    journey.sees("it has no checkpoint to go on from");
    journey.keys("esc esc");
    assert_eq!(journey.app.screen(), Screen::Home);
}

#[test]
fn splitters_are_dragged_and_stay_where_they_were_put() {
    let mut journey = Journey::new();
    journey.size(80, 24);
    let mouse = |journey: &mut Journey, kind, (column, row)| {
        journey.tell(Message::Input(Input::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })));
    };
    let drag = |journey: &mut Journey, from, to| {
        mouse(journey, MouseEventKind::Down(MouseButton::Left), from);
        mouse(journey, MouseEventKind::Drag(MouseButton::Left), to);
        mouse(journey, MouseEventKind::Up(MouseButton::Left), to);
    };
    // Cells to the left of a title, and the row that it stands in.
    let place = |journey: &Journey, title: &str| {
        let screen = journey.screen();
        let row = screen.lines().position(|line| line.contains(title));
        let row = row.unwrap_or_else(|| panic!("no {title} on\n{screen}"));
        let line = screen
            .lines()
            .nth(row)
            .unwrap_or_default()
            .trim_start_matches('"');
        let before = line.split(title).next().unwrap_or_default();
        (before.chars().count() as u16 - 2, row as u16)
    };
    let at = |journey: &Journey| (place(journey, "2 Config"), place(journey, "3 Preview"));
    assert_eq!(at(&journey), ((28, 0), (28, 14)));
    drag(&mut journey, (28, 4), (24, 6));
    assert_eq!(at(&journey), ((24, 0), (24, 14)));
    // The border beside it belongs to it too.
    drag(&mut journey, (23, 4), (33, 4));
    drag(&mut journey, (50, 14), (50, 10));
    assert_eq!(at(&journey), ((33, 0), (33, 10)));
    journey.keys("2 enter H");
    journey.size(120, 40);
    journey.size(80, 24);
    assert_eq!(
        at(&journey),
        ((33, 0), (33, 10)),
        "also after a run and other sizes"
    );
    // No pane goes away, and what is said in them can still be read.
    drag(&mut journey, (33, 4), (79, 4));
    drag(&mut journey, (60, 10), (60, 23));
    assert_eq!(at(&journey), ((50, 0), (50, 18)));
    drag(&mut journey, (50, 4), (0, 4));
    drag(&mut journey, (60, 18), (60, 0));
    assert_eq!(at(&journey), ((20, 0), (20, 7)));
    journey.sees("5 GPT");
    // Three columns have splitters of their own.
    journey.size(200, 60);
    assert_eq!(at(&journey), ((48, 0), (128, 0)));
    drag(&mut journey, (48, 20), (60, 20));
    drag(&mut journey, (127, 20), (150, 20));
    assert_eq!(at(&journey), ((60, 0), (150, 0)));
    drag(&mut journey, (150, 20), (0, 20));
    drag(&mut journey, (60, 20), (199, 20));
    let (form, preview) = at(&journey);
    assert!(
        form.0 >= 20 && preview.0 - form.0 >= 30,
        "{form:?} {preview:?}"
    );
    // A pane alone has none, and a drag that began elsewhere moves none.
    journey.keys("z");
    let zoomed = journey.screen();
    drag(&mut journey, (48, 20), (70, 20));
    assert_eq!(journey.screen(), zoomed);
    journey.keys("z");
    let before = at(&journey);
    drag(&mut journey, (10, 20), (70, 20));
    assert_eq!(at(&journey), before);
}
