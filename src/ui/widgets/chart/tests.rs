use super::*;
use proptest::prelude::*;

fn look(symbols: Symbols) -> Look {
    Look {
        symbols,
        axis: Style::new(),
        labels: Style::new(),
        clipped: Style::new(),
    }
}

fn lines(chart: &Chart, width: u16, height: u16) -> Vec<String> {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    chart.render(area, &mut buffer);
    (0..height)
        .map(|row| {
            (0..width)
                .map(|column| buffer[(column, row)].symbol().to_string())
                .collect::<String>()
                .trim_end()
                .to_string()
        })
        .collect()
}

fn line_layer(values: &[f64]) -> Layer {
    Layer::Line {
        columns: values.iter().map(|&value| Sample::Value(value)).collect(),
        style: Style::new(),
        pattern: Pattern::Solid,
    }
}

fn chart(values: &[f64]) -> Chart {
    let x = Axis::new((0.0, values.len() as f64), Scale::Linear);
    let y = Axis::new(
        fit(values.iter().copied()).unwrap_or((0.0, 1.0)),
        Scale::Linear,
    );
    let mut chart = Chart::new(x, y, look(Symbols::Braille));
    chart.layers.push(line_layer(values));
    chart
}

#[test]
fn a_falling_line_runs_from_the_top_left_to_the_bottom_right() {
    let values: Vec<f64> = (0..46).map(|x| 46.0 - f64::from(x)).collect();
    let lines = lines(&chart(&values), 30, 10);
    assert!(
        lines[0].contains("⠑") || lines[0].contains("⠢"),
        "{lines:#?}"
    );
    assert!(
        lines[7]
            .trim_end()
            .ends_with(['⡀', '⢄', '⣀', '⠢', '⠑', '⠤', '⢀', '⠈']),
        "{lines:#?}"
    );
    assert!(lines[8].contains("└"), "{lines:#?}");
    assert!(lines[9].trim_start().starts_with('0'), "{lines:#?}");
}

#[test]
fn a_gap_breaks_the_line_and_leaves_a_mark() {
    let mut chart = chart(&[1.0, 2.0]);
    let mut columns = vec![Sample::Value(1.5); 46];
    columns[20] = Sample::Gap;
    chart.layers = vec![
        Layer::Line {
            columns,
            style: Style::new(),
            pattern: Pattern::Solid,
        },
        Layer::Gaps {
            columns: (0..46).map(|x| x == 20).collect(),
            symbol: '×',
            style: Style::new(),
        },
    ];
    let lines = lines(&chart, 30, 10);
    assert_eq!(lines[7].chars().nth(17), Some('×'), "{lines:#?}");
    let drawn = lines.iter().find(|line| {
        line.contains('⠉') || line.contains('⠤') || line.contains('⠒') || line.contains('⣀')
    });
    let cell = drawn.and_then(|line| line.chars().nth(17)).unwrap();
    // Only the right half of the cell is drawn.
    assert!("⠈⠐⠠⢀".contains(cell), "{cell} {lines:#?}");
}

#[test]
fn what_leaves_the_range_leaves_a_mark() {
    let mut chart = chart(&[1.0, 2.0]);
    let mut columns = vec![Some((1.2, 1.4)); 46];
    columns[10] = Some((0.0, 9.0));
    chart.layers = vec![Layer::Band {
        columns,
        style: Style::new(),
    }];
    let lines = lines(&chart, 30, 10);
    assert_eq!(lines[0].chars().nth(12), Some('▲'), "{lines:#?}");
    assert_eq!(lines[7].chars().nth(12), Some('▼'), "{lines:#?}");
}

#[test]
fn labels_of_close_references_do_not_overlap() {
    let mut chart = chart(&[1.0, 5.0]);
    chart.layers.clear();
    for (value, label) in [
        (3.0, "uniform 3.0"),
        (3.05, "unigram 3.05"),
        (9.0, "far away"),
    ] {
        chart.references.push(Reference {
            value,
            label: label.into(),
            style: Style::new(),
        });
    }
    let text = lines(&chart, 60, 14).join("\n");
    for label in ["uniform 3.0", "unigram 3.05", "↑ far away"] {
        assert!(text.contains(label), "{text}");
    }
}

#[test]
fn markers_and_crosshair_show_their_words() {
    let values: Vec<f64> = (0..106).map(f64::from).collect();
    let mut chart = chart(&values);
    chart.markers.push(Marker {
        x: 30.0,
        label: "lr ×0.5".into(),
        kind: MarkerKind::Line,
        style: Style::new(),
    });
    chart.markers.push(Marker {
        x: 60.0,
        label: String::new(),
        kind: MarkerKind::Tick('◆'),
        style: Style::new(),
    });
    chart.crosshair = Some(Crosshair {
        x: 100.0,
        rows: vec![
            ("step 100".into(), Style::new()),
            ("loss 3.2".into(), Style::new()),
        ],
        style: Style::new(),
    });
    let text = lines(&chart, 60, 14).join("\n");
    for word in ["╎lr ×0.5", "◆", "step 100", "loss 3.2"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_label_of_a_reference_gives_way_to_one_of_a_marker() {
    let mut chart = chart(&[4.0, 1.0]);
    chart.layers.clear();
    chart.references.push(Reference {
        value: 4.0,
        label: "uniform 4.094".into(),
        style: Style::new(),
    });
    for x in [1.2, 1.6, 1.9] {
        chart.markers = vec![Marker {
            x,
            label: "lr ×1.25 (undone)".into(),
            kind: MarkerKind::Line,
            style: Style::new(),
        }];
        let text = lines(&chart, 42, 11).join("\n");
        for label in ["uniform 4.094", "lr ×1.25 (undone)"] {
            assert!(text.contains(label), "{x}: {text}");
        }
    }
}

#[test]
fn an_empty_chart_says_what_will_come() {
    let mut chart = chart(&[]);
    chart.message = Some("no steps yet".into());
    assert!(lines(&chart, 40, 8).join("\n").contains("no steps yet"));
}

#[test]
fn ascii_stays_ascii() {
    let values: Vec<f64> = (0..53).map(|x| f64::from(x % 7)).collect();
    let mut chart = chart(&values);
    chart.look = look(Symbols::Ascii);
    chart.references.push(Reference {
        value: 99.0,
        label: "far".into(),
        style: Style::new(),
    });
    assert!(lines(&chart, 60, 14).join("").is_ascii());
}

#[test]
fn a_lone_outlier_is_left_to_the_edge_marks() {
    let mut values = vec![1.0; 100];
    values[3] = 500.0;
    values.push(2.0);
    let (low, high) = fit_robust(values).unwrap();
    assert!(low == 1.0 && high < 10.0, "{high}");
    assert_eq!(fit_robust([1.0, 2.0, 3.0]), Some((1.0, 3.0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn any_chart_in_any_area_is_drawn(
        values in prop::collection::vec(any::<f64>(), 0..60),
        width in 0u16..70,
        height in 0u16..20,
        log in any::<bool>(),
        x in any::<f64>(),
    ) {
        let scale = if log { Scale::Log } else { Scale::Linear };
        let y = Axis::new(fit(values.iter().copied()).unwrap_or((0.0, 1.0)), scale);
        let mut chart = Chart::new(Axis::new((0.0, x), Scale::Linear), y, look(Symbols::Braille));
        chart.layers.push(Layer::Band {
            columns: values.iter().map(|&value| Some((value, value))).collect(),
            style: Style::new(),
        });
        chart.layers.push(line_layer(&values));
        chart.layers.push(Layer::Points {
            points: values.iter().map(|&value| (value, value)).collect(),
            symbol: 'o',
            style: Style::new(),
        });
        chart.references.push(Reference { value: x, label: "r".into(), style: Style::new() });
        chart.markers.push(Marker { x, label: "m".into(), kind: MarkerKind::Line, style: Style::new() });
        chart.crosshair = Some(Crosshair { x: x / 2.0, rows: vec![("c".into(), Style::new())], style: Style::new() });
        lines(&chart, width, height);
    }
}
