//! What every screen has: the palette, help, settings, the mouse; and that all of them can be drawn at every size.

use super::*;

#[test]
fn the_palette_does_what_it_finds() {
    let mut journey = Journey::training();
    journey.keys(":");
    journey.text("evaluate");
    journey.keys("enter");
    assert_eq!(journey.sent(), [Command::Evaluate]);
    journey.keys(":");
    journey.text("theme light");
    journey.keys("enter");
    assert_eq!(journey.app.theme().name, "light");
    let mut home = Journey::new();
    home.keys(":");
    home.text("set train.steps 77");
    home.keys("enter enter");
    let sent = home.sent();
    assert!(matches!(sent.last(), Some(Command::Start { config, .. }) if config.train.steps == 77));
    let mut home = Journey::new();
    home.keys(":");
    home.text("set train.stepz 77");
    home.keys("enter");
    home.sees("did you mean `train.steps`?");
}

#[test]
fn more_problems_of_the_settings_than_have_room_are_counted() {
    let (settings, mut problems) = crate::ui::settings::Settings::parse(
        "[keymap.train]\npause = \"s\"\nexplode = \"x\"\nsave = \"hyper-q\"\n[keymap.global]\nzoom = \"e\"\n\
         [keymap.nosuch]\nup = \"k\"\n[keymap.runs]\ndelete = \"space\"\n",
    );
    problems.insert(0, "a word ".repeat(200));
    let count = problems.len() + settings.keymap().1.len();
    assert!(count > 4, "{count}");
    let journey = Journey::with(Setup {
        settings,
        problems,
        width: 80,
        height: 24,
        ..Setup::default()
    });
    journey.sees(&format!("and {} more problems", count - 2));
    journey.sees("config settings");
    // The first is longer than a notice, and says so; the end of the locale's characters is `~`.
    let screen = journey.screen();
    assert_eq!(screen.matches("a word~").count(), 1, "{screen}");
}

#[test]
fn the_footer_names_what_the_keys_do_over_a_screen_and_where_there_is_one_pane() {
    let footer = |journey: &Journey| {
        let screen = journey.screen();
        screen.lines().next_back().unwrap_or_default().to_string()
    };
    let mut journey = Journey::training();
    journey.size(80, 24);
    journey.keys("?");
    let over = footer(&journey);
    assert!(over.contains("esc close"), "{over}");
    for gone in ["tab", "palette", "quit", "? help"] {
        assert!(!over.contains(gone), "{gone}: {over}");
    }
    for keys in ["", "a d", "a o"] {
        let mut journey = super::runs::listed();
        journey.keys(keys);
        let one = footer(&journey);
        assert!(one.contains("? help") && !one.contains("tab"), "{one}");
        journey.keys("?");
        journey.does_not_see("focused pane the whole screen");
    }
    let mut journey = super::runs::listed();
    journey.keys("a s");
    assert!(!footer(&journey).contains("tab"), "{}", footer(&journey));
    journey.size(79, 24);
    assert!(
        footer(&journey).contains("tab more runs"),
        "{}",
        footer(&journey)
    );
}

#[test]
fn help_is_made_for_the_focused_pane() {
    let mut journey = Journey::new();
    journey.keys("?");
    journey.sees("Five models");
    journey.sees("next config of this rung");
    journey.keys("q");
    assert_eq!(journey.quit(), None, "q closes the help");
    journey.does_not_see("Five models");
}

#[test]
fn settings_problems_are_shown_and_overrides_hold() {
    let (settings, problems) =
        Settings::parse("frame_rate = 900\n[keymap.global]\nquit = \"f10\"\n");
    let mut journey = Journey::with(Setup {
        settings,
        problems,
        width: 120,
        height: 40,
        ..Setup::default()
    });
    journey.sees("frame_rate: 900 is not a whole number from 1 to 60");
    journey.keys("q ctrl-c");
    assert_eq!(journey.quit(), None);
    journey.keys("f10");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn a_click_focuses_and_the_mouse_can_be_off() {
    let mut journey = Journey::new();
    let click = |column, row| {
        Message::Input(Input::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }))
    };
    journey.tell(click(60, 10));
    assert_eq!(journey.app.contexts()[0], Context::Form);
    journey.tell(click(110, 5));
    assert_eq!(journey.app.contexts()[0], Context::Preview);
    journey.tell(click(3, 1));
    journey.sees("Config: char-rnn");
    // A line of the palette under the mouse is taken as Enter takes it; beside its lines a click does nothing.
    journey.keys(":");
    journey.text("toggle-mouse");
    let screen = journey.screen();
    let row = screen
        .lines()
        .position(|line| line.contains("toggle-mouse") && !line.contains(":toggle"));
    let row = u16::try_from(row.expect("a line of the palette")).expect("a row");
    journey.tell(click(60, row + 1));
    journey.sees("Palette");
    journey.tell(click(60, row));
    journey.does_not_see("Palette");
    assert!(journey.effects.contains(&Effect::SetMouse(false)));
}

#[test]
fn every_size_draws_in_every_state() {
    let states: [fn() -> Journey; 5] = [
        Journey::new,
        Journey::training,
        || {
            let mut journey = Journey::training();
            journey.keys("q");
            journey
        },
        || {
            let mut journey = Journey::new();
            journey.keys(": e");
            journey
        },
        || {
            let mut journey = Journey::new();
            journey.keys("tab e 9 9 9 9 9 9");
            journey.tell(Message::RunsLoaded {
                runs: Ok(entries(vec![summary("gpt-stories", 700)]).into()),
                now: 0,
            });
            journey
        },
    ];
    let sizes = [
        (1, 1),
        (2, 1),
        (1, 50),
        (39, 11),
        (40, 12),
        (60, 14),
        (80, 24),
        (120, 40),
        (200, 60),
        (300, 5),
    ];
    for state in states {
        let mut journey = state();
        for (width, height) in sizes {
            journey.size(width, height);
            let screen = journey.screen();
            if width >= 40 && height >= 12 {
                assert!(!screen.contains("too small"), "{screen}");
            }
        }
        let empty = Rect::new(0, 0, 0, 0);
        journey
            .app
            .render(empty, &mut ratatui::buffer::Buffer::empty(empty));
    }
}

#[test]
fn small_terminals_shed_panes_and_then_say_so() {
    let mut journey = Journey::new();
    journey.size(80, 24);
    for wanted in ["Ladder", "Config: gpt", "Preview", "5 GPT"] {
        journey.sees(wanted);
    }
    journey.size(40, 12);
    journey.sees("5 GPT");
    journey.does_not_see("Config: gpt");
    journey.keys("2");
    journey.sees("Config: gpt");
    journey.size(36, 10);
    journey.sees("36x10 is too small");
}

#[test]
fn without_utf8_only_ascii_is_drawn() {
    let mut journey = Journey::with(Setup {
        width: 100,
        height: 30,
        ..Setup::default()
    });
    let kind = EventKind::Previewed {
        request: 1,
        preview: Ok(preview()),
    };
    journey.tell(Message::Engine(Event { run: 0, kind }));
    let screen = journey.screen();
    let odd: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
    assert!(odd.is_empty(), "{odd:?} on\n{screen}");
    for keys in ["?", "esc :", "esc enter", "q", "esc tab ]"] {
        journey.keys(keys);
        if keys == "esc enter" {
            journey.event(EventKind::Phase(Phase::Training));
            journey.event(EventKind::Steps((1..30).map(step).collect()));
        }
        let screen = journey.screen();
        let odd: Vec<char> = screen.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "after {keys}: {odd:?} on\n{screen}");
    }
}
