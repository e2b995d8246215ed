//! A graph as SVG: one panel above the other, the same values on both horizontal axes.
//!
//! The background is transparent and the colours are of middle lightness, so that it can be read on a light page and on
//! a dark one.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const PANEL: f64 = 210.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 44.0;
const GAP: f64 = 64.0;
const BOTTOM: f64 = 48.0;
const INK: &str = "#808792";

/// One line through values.
#[derive(Debug)]
pub struct Line<'a> {
    /// What it shows.
    pub name: &'a str,
    /// Its colour, as SVG says it.
    pub colour: &'a str,
    /// A value for each of the graph's positions.
    pub values: Vec<f64>,
}

/// One panel.
#[derive(Debug)]
pub struct Panel<'a> {
    /// What it shows, with the unit.
    pub title: &'a str,
    /// Its lines.
    pub lines: Vec<Line<'a>>,
    /// A value that was promised, and the words for it.
    pub promise: (f64, &'a str),
}

/// The whole graph; `positions` are the values on the horizontal axis, spaced evenly.
pub fn svg(title: &str, axis: &str, positions: &[usize], panels: &[Panel<'_>]) -> String {
    let height = TOP + BOTTOM + PANEL * panels.len() as f64 + GAP * (panels.len() as f64 - 1.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n"
    );
    for (n, panel) in panels.iter().enumerate() {
        let top = TOP + n as f64 * (PANEL + GAP);
        panel.draw(&mut out, top, positions);
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    text(&mut out, (middle, height - 10.0), "middle", INK, axis);
    out += "</svg>\n";
    out
}

impl Panel<'_> {
    fn draw(&self, out: &mut String, top: f64, positions: &[usize]) {
        let values = self.lines.iter().flat_map(|line| &line.values).copied();
        let highest = values.fold(self.promise.0, f64::max);
        let step = nice_step(highest);
        let ceiling = (highest / step).ceil() * step;
        let y = |value: f64| top + PANEL * (1.0 - value / ceiling);
        let right = WIDTH - RIGHT;

        text(out, (LEFT, top - 14.0), "start", INK, self.title);
        for mark in 0..=(ceiling / step).round() as usize {
            let value = mark as f64 * step;
            rule(out, y(value), INK, "stroke-opacity=\"0.3\"");
            let label = format!("{value:.0}");
            text(out, (LEFT - 8.0, y(value) + 4.0), "end", INK, &label);
        }
        for (at, position) in positions.iter().enumerate() {
            let label = position.to_string();
            let below = (x(at, positions), top + PANEL + 18.0);
            text(out, below, "middle", INK, &label);
        }
        let (promised, words) = self.promise;
        rule(out, y(promised), "#d9534f", "stroke-dasharray=\"6 4\"");
        text(
            out,
            (right + 8.0, y(promised) + 4.0),
            "start",
            "#d9534f",
            words,
        );
        for line in &self.lines {
            line.draw(out, |at| x(at, positions), y);
        }
    }
}

impl Line<'_> {
    fn draw(&self, out: &mut String, x: impl Fn(usize) -> f64, y: impl Fn(f64) -> f64) {
        let colour = self.colour;
        let points = self.values.iter().enumerate();
        let points: Vec<(f64, f64)> = points.map(|(at, value)| (x(at), y(*value))).collect();
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let path = path.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        for (x, y) in &points {
            let _ = writeln!(
                out,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        if let Some((x, y)) = points.last() {
            text(out, (x + 10.0, y - 6.0), "start", colour, self.name);
        }
    }
}

fn x(at: usize, positions: &[usize]) -> f64 {
    let spaces = positions.len().saturating_sub(1).max(1) as f64;
    let inset = 16.0;
    LEFT + inset + (WIDTH - LEFT - RIGHT - 2.0 * inset) * at as f64 / spaces
}

/// One, two or five times a power of ten, so that there are about five marks.
fn nice_step(highest: f64) -> f64 {
    let rough = (highest / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|f| f * power >= rough);
    factor.unwrap_or(10.0) * power
}

fn rule(out: &mut String, y: f64, colour: &str, style: &str) {
    let right = WIDTH - RIGHT;
    let _ = writeln!(
        out,
        "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{colour}\" {style}/>"
    );
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, colour: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_numbers() {
        for (highest, step) in [(2_400.0, 500.0), (400.0, 100.0), (90.0, 20.0), (1.0, 0.2)] {
            assert!((nice_step(highest) - step).abs() < 1e-9, "{highest}");
        }
    }

    #[test]
    fn higher_values_stand_higher_and_within_the_panel() {
        let line = Line {
            name: "p50",
            colour: "red",
            values: vec![100.0, 300.0],
        };
        let panel = Panel {
            title: "ms",
            lines: vec![line],
            promise: (400.0, "400 ms"),
        };
        let svg = svg("t", "callers", &[1, 2], &[panel]);
        let heights: Vec<f64> = svg
            .lines()
            .filter_map(|line| line.strip_prefix("<circle")?.split("cy=\"").nth(1))
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(heights, [TOP + PANEL * 0.75, TOP + PANEL * 0.25]);
    }
}
