use super::super::tests::values;
use super::*;

#[test]
fn products_are_those_of_their_definition() {
    for (rows, depth, columns) in [
        (1, 1, 1),
        (13, 5, 33),
        (29, 131, 65),
        (12, 40, 31),
        (600, 300, 47),
        (200, 64, 70),
        (3, 0, 4),
    ] {
        let (a, b) = (values(rows * (depth + 3), 1), values(depth * columns, 2));
        let left = View::strided(&a, rows, depth, depth + 3);
        let before = values(rows * columns, 3);
        for transposed in [false, true] {
            let matrix = match transposed {
                false => View::new(&b, depth, columns),
                true => View::new(&b, columns, depth).transposed(),
            };
            let [copy] = lay_out([matrix]);
            let panels = Panels::new(&copy, depth, columns);
            let one = |left| panels.product(Layout::Rows, left, Threads::One);
            let product = one(Left::Rows(left));
            let mut added = before.clone();
            panels.add_product(&mut added, Left::Rows(left), Threads::One);
            for (at, (product, added)) in product.iter().zip(&added).enumerate() {
                let (row, column) = (at / columns, at % columns);
                let term = |p: usize| {
                    let b = match transposed {
                        false => b[p * columns + column],
                        true => b[column * depth + p],
                    };
                    f64::from(a[row * (depth + 3) + p]) * f64::from(b)
                };
                let sum: f64 = (0..depth).map(term).sum();
                let size: f64 = (0..depth).map(|p| term(p).abs()).sum();
                // A rounding of float32 is 6e-8 of what is summed so far.
                let tolerance = 1e-6 * (1.0 + size);
                assert!((f64::from(*product) - sum).abs() < tolerance);
                let sum = sum + f64::from(before[at]);
                assert!((f64::from(*added) - sum).abs() < tolerance);
            }
            let all = panels.product(Layout::Rows, Left::Rows(left), Threads::All);
            assert_eq!(product, all);
            let mut sum = vec![9.0; product.len()];
            // SAFETY: only values are written.
            #[allow(unsafe_code)]
            let slots = unsafe { slots(&mut sum) };
            let to = (Layout::Rows, Base::Rows(&before));
            panels.product_into(slots, to, Left::Rows(left), Threads::One);
            assert_eq!(sum, added);
            let bias = values(columns, 4);
            for layout in [Layout::Rows, Layout::Panels] {
                // SAFETY: as above.
                #[allow(unsafe_code)]
                let slots = unsafe { super::slots(&mut sum) };
                let to = (layout, Base::Row(&bias));
                let found = panels.product_into(slots, to, Left::Rows(left), Threads::One);
                let found = match layout {
                    Layout::Rows => found.to_vec(),
                    Layout::Panels => Panels::new(found, rows, columns).first_rows(rows),
                };
                for (at, (found, product)) in found.iter().zip(&product).enumerate() {
                    assert_eq!(*found, product + bias[at % columns]);
                }
            }
            // The left factor across the memory, and in panels of its own, and the result in panels.
            let turned: Vec<f32> = (0..depth * (rows + 2))
                .map(|at| (at / (rows + 2), at % (rows + 2)))
                .map(|(p, row)| {
                    if row < rows {
                        a[row * (depth + 3) + p]
                    } else {
                        9.0
                    }
                })
                .collect();
            let across = View::strided(&turned, depth, rows, rows + 2);
            assert_eq!(product, one(Left::Rows(across.transposed())));
            let [own, turned] = lay_out([left, across]);
            let across = Panels::new(&turned, depth, rows);
            let own = Panels::new(&own, rows, depth);
            for threads in [Threads::One, Threads::All] {
                for (left, exact) in [
                    (Left::Across(across), true),
                    (Left::Panels(own), depth.is_multiple_of(WIDTH)),
                ] {
                    let found = panels.product(Layout::Panels, left, threads);
                    let found = Panels::new(&found, rows, columns).first_rows(rows);
                    if exact {
                        assert_eq!(product, found);
                    }
                    // Where the last panel is narrower its terms are a sum of their own.
                    for (found, product) in found.iter().zip(&product) {
                        assert!((found - product).abs() < 1e-5 * (1.0 + product.abs()));
                    }
                    let mut found = before.clone();
                    panels.add_product(&mut found, left, threads);
                    for (found, added) in found.iter().zip(&added) {
                        assert!((found - added).abs() < 1e-5 * (1.0 + added.abs()));
                    }
                }
            }
        }
    }
}
