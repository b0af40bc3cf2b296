//! Charts as inline SVG, coloured by the style sheet of the page. Does no I/O.

use std::fmt::Write as _;

use super::escape::escaped;

/// Size of a chart in user units; the page scales it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 250.0;
/// Margins for the labels.
const LEFT: f64 = 66.0;
const BELOW: f64 = 40.0;
const ABOVE: f64 = 14.0;
const RIGHT: f64 = 14.0;

/// Space for the last label of a column before its mark.
const LAST_LABEL: f64 = 64.0;

/// A line of a chart.
pub(super) struct Curve<'a> {
    /// Name in the legend.
    pub(super) name: &'a str,
    /// CSS class for the colour.
    pub(super) class: &'a str,
    /// True if the area below is filled.
    pub(super) is_filled: bool,
    /// Points; of several with the same position the last one counts.
    pub(super) points: Vec<(f64, f64)>,
}

/// A mark of an axis.
pub(super) struct Tick {
    /// Position along the axis, from 0 to 1.
    pub(super) at: f64,
    pub(super) label: String,
}

/// A bar of a histogram.
pub(super) struct Column {
    /// Label at its right edge.
    pub(super) label: String,
    /// Tooltip.
    pub(super) hint: String,
    pub(super) value: f64,
}

/// Returns about four round numbers from 0 to at least `most`.
pub(super) fn steps(most: f64) -> Vec<f64> {
    let raw = most.max(1e-9) / 4.0;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .iter()
        .map(|factor| factor * power)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw);
    (0..=(most / step).ceil() as usize)
        .map(|n| n as f64 * step)
        .collect()
}

/// Draws lines over an x axis with its own marks; `x` and `y` map a value to 0 to 1.
pub(super) fn lines(
    curves: &[Curve<'_>],
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
    x_ticks: &[Tick],
    y_ticks: &[Tick],
    unit: &str,
) -> String {
    let mut svg = frame(x_ticks, y_ticks, unit);
    for curve in curves.iter().filter(|curve| !curve.points.is_empty()) {
        draw_curve(&mut svg, curve, &x, &y);
    }
    svg.push_str("</svg>");
    format!("{svg}<p class=\"legend\">{}</p>", legend(curves))
}

fn legend(curves: &[Curve<'_>]) -> String {
    let key = |curve: &Curve<'_>| {
        format!(
            r#"<span class="key {}">{}</span>"#,
            curve.class,
            escaped(curve.name)
        )
    };
    curves.iter().map(key).collect()
}

/// Draws a curve of at least one point, with a circle where it has only one.
fn draw_curve(svg: &mut String, curve: &Curve<'_>, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    let place = |(at, value): &(f64, f64)| format!("{:.1},{:.1}", across(x(*at)), down(y(*value)));
    let points: Vec<String> = curve.points.iter().map(place).collect();
    let points = points.join(" ");
    if curve.is_filled {
        let first = across(x(curve.points[0].0));
        let last = across(x(curve.points[curve.points.len() - 1].0));
        put(
            svg,
            format_args!(
                "<polygon class=\"{} fill\" \
                 points=\"{first:.1},{base:.1} {points} {last:.1},{base:.1}\"/>",
                curve.class,
                base = down(0.0)
            ),
        );
    }
    put(
        svg,
        format_args!(r#"<polyline class="{}" points="{points}"/>"#, curve.class),
    );
    if curve.points.len() == 1 {
        let (at, value) = curve.points[0];
        put(
            svg,
            format_args!(
                r#"<circle class="{}" cx="{:.1}" cy="{:.1}" r="3"/>"#,
                curve.class,
                across(x(at)),
                down(y(value))
            ),
        );
    }
}

/// Draws columns side by side.
pub(super) fn columns(columns: &[Column], y_ticks: &[Tick], most: f64, unit: &str) -> String {
    let width = 1.0 / columns.len().max(1) as f64;
    // Labels that would overlap are omitted.
    let every = columns.len().div_ceil(14).max(1);
    let count = columns.len();
    // The last label ends at the right edge instead of being centred on its mark, so it needs more
    // space before it.
    let is_far =
        |number: usize| (count - number) as f64 * width * (WIDTH - LEFT - RIGHT) > LAST_LABEL;
    let is_labelled =
        |number: usize| number == count || (number.is_multiple_of(every) && is_far(number));
    let labelled = columns
        .iter()
        .enumerate()
        .filter(|(number, _)| is_labelled(number + 1));
    let ticks: Vec<Tick> = labelled
        .map(|(number, column)| Tick {
            at: (number + 1) as f64 * width,
            label: column.label.clone(),
        })
        .collect();
    let mut svg = frame(&ticks, y_ticks, unit);
    for (number, column) in columns.iter().enumerate() {
        let left = across(number as f64 * width) + 1.0;
        let right = across((number + 1) as f64 * width) - 1.0;
        // A small value is visible.
        let height = if column.value > 0.0 {
            ((column.value / most) * (down(0.0) - down(1.0))).max(1.5)
        } else {
            0.0
        };
        let x = left;
        let y = down(0.0) - height;
        let width = (right - left).max(1.0);
        let hint = escaped(&column.hint);
        put(
            &mut svg,
            format_args!(
                "<rect class=\"a\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"><title>{hint}</title></rect>"
            ),
        );
    }
    svg + "</svg>"
}

fn across(part: f64) -> f64 {
    LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn down(part: f64) -> f64 {
    HEIGHT - BELOW - part.clamp(0.0, 1.0) * (HEIGHT - BELOW - ABOVE)
}

/// Starts a chart: its axes and their marks.
fn frame(x_ticks: &[Tick], y_ticks: &[Tick], unit: &str) -> String {
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#);
    for tick in y_ticks {
        let y = down(tick.at);
        put(
            &mut svg,
            format_args!(
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#,
                WIDTH - RIGHT
            ),
        );
        put(
            &mut svg,
            format_args!(
                r#"<text class="end" x="{:.1}" y="{:.1}">{}</text>"#,
                LEFT - 7.0,
                y + 4.0,
                escaped(&tick.label)
            ),
        );
    }
    for tick in x_ticks {
        let x = across(tick.at);
        put(
            &mut svg,
            format_args!(
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{:.1}" y2="{:.1}"/>"#,
                down(0.0),
                down(0.0) + 4.0
            ),
        );
        // The last label stays inside the chart.
        let class = if x > WIDTH - 3.0 * RIGHT {
            "end"
        } else {
            "mid"
        };
        let x = if class == "end" { WIDTH - 2.0 } else { x };
        put(
            &mut svg,
            format_args!(
                r#"<text class="{class}" x="{x:.1}" y="{:.1}">{}</text>"#,
                down(0.0) + 17.0,
                escaped(&tick.label)
            ),
        );
    }
    put(
        &mut svg,
        format_args!(
            r#"<text class="mid unit" x="{:.1}" y="{:.1}">{}</text>"#,
            across(0.5),
            HEIGHT - 5.0,
            escaped(unit)
        ),
    );
    svg
}

fn put(svg: &mut String, element: std::fmt::Arguments<'_>) {
    svg.write_fmt(element)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_columns_do_not_touch_each_other() {
        for count in 1..100 {
            let all: Vec<Column> = (0..count)
                .map(|_| Column {
                    label: "12.3 ms".to_owned(),
                    value: 1.0,
                    hint: String::new(),
                })
                .collect();
            let svg = columns(&all, &[], 1.0, "");
            let labels = svg
                .split("<text class=\"")
                .skip(1)
                .filter(|text| text.contains("12.3 ms"));
            let ends: Vec<(f64, f64)> = labels
                .map(|text| {
                    let x: f64 = text
                        .split("x=\"")
                        .nth(1)
                        .and_then(|rest| rest.split('"').next())
                        .and_then(|x| x.parse().ok())
                        .expect("x");
                    // Seven letters in the size of the style sheet.
                    let width = 7.0 * 6.2;
                    if text.starts_with("end") {
                        (x - width, x)
                    } else {
                        (x - width / 2.0, x + width / 2.0)
                    }
                })
                .collect();
            assert!(
                !ends.is_empty() && ends.windows(2).all(|pair| pair[0].1 < pair[1].0),
                "{count}: {ends:?}"
            );
        }
    }

    #[test]
    fn axes_have_round_marks() {
        assert_eq!(steps(10.0), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(steps(7300.0), [0.0, 2000.0, 4000.0, 6000.0, 8000.0]);
        for most in [0.0, 1e-3, 1.0, 99.0, 1e9] {
            let steps = steps(most);
            assert!(
                steps.len() <= 7 && steps.last().is_some_and(|last| *last >= most * 0.999),
                "{most}: {steps:?}"
            );
        }
    }
}
