//! Line charts as SVG, made to be read in light and in dark, without a script.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 130.0;
/// Told apart with every kind of colour blindness (Okabe and Ito).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888", "#b8a800"];

/// Points of a line, x first; `None` where it is broken.
pub type Points = Vec<Option<(f64, f64)>>;

/// What a chart shows.
#[derive(Debug, Default)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Beside the axes.
    pub x: String,
    /// As above.
    pub y: String,
    /// Names and points; nothing is drawn between two where one is missing.
    pub series: Vec<(String, Points)>,
    /// Spans of x that are shaded.
    pub shaded: Vec<(f64, f64)>,
    /// Ten times as much is the same way up, everywhere.
    pub is_logarithmic: bool,
    /// Names of x = 0, 1, 2 …, instead of numbers.
    pub names: Vec<String>,
}

impl Chart {
    /// The chart as an SVG element.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|(_, points)| points.iter().flatten());
        let max = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
        let x_max = if self.names.is_empty() { max(|point| point.0).max(1.0) } else { self.names.len() as f64 - 0.5 };
        let x_min = if self.names.is_empty() { 0.0 } else { -0.5 };
        let y_max = max(|point| point.1).max(1.0) * 1.05;
        let low = points().map(|point| point.1).filter(|y| *y > 0.0).fold(y_max, f64::min);
        let [log_min, log_max] = [low.log10().floor(), y_max.log10().ceil()];
        let x = |value: f64| LEFT + (value - x_min) / (x_max - x_min) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| {
            let share = if self.is_logarithmic {
                (value.max(10f64.powf(log_min)).log10() - log_min) / (log_max - log_min).max(1.0)
            } else {
                value / y_max
            };
            HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
        };
        let mut out = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' font-size='12' \
             fill='#808080' role='img' aria-label='{0}'><text x='{LEFT}' y='16' font-size='14'>{0}</text>",
            escaped(&self.title)
        );
        let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
            let _ = write!(out, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{}</text>", escaped(text));
        };
        text(LEFT, HEIGHT - 6.0, "start", &format!("{}; {}", self.x, self.y));
        let ticks: Vec<f64> = if self.is_logarithmic {
            (log_min as i32..=log_max as i32).map(|power| 10f64.powi(power)).collect()
        } else {
            steps(y_max)
        };
        ticks.iter().for_each(|&tick| text(LEFT - 6.0, y(tick) + 4.0, "end", &number(tick)));
        for (n, name) in self.names.iter().enumerate() {
            text(x(n as f64), HEIGHT - BOTTOM + 16.0, "middle", name);
        }
        if self.names.is_empty() {
            steps(x_max).iter().for_each(|&tick| text(x(tick), HEIGHT - BOTTOM + 16.0, "middle", &number(tick)));
        }
        for tick in ticks {
            let _ = write!(
                out,
                "<path d='M{LEFT} {0:.1}H{1}' stroke='#808080' stroke-opacity='.3'/>",
                y(tick),
                WIDTH - RIGHT
            );
        }
        for &(from, to) in &self.shaded {
            let (left, width) = (x(from), x(to) - x(from));
            let _ = write!(
                out,
                "<rect x='{left:.1}' y='{TOP}' width='{width:.1}' height='{:.1}' fill='#808080' fill-opacity='.15'/>",
                HEIGHT - BOTTOM - TOP
            );
        }
        for (n, (name, points)) in self.series.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let line = if self.names.is_empty() { path(points, x, y) } else { String::new() };
            let _ = write!(out, "<path d='{line}' fill='none' stroke='{colour}' stroke-width='1.5'/>");
            if !self.names.is_empty() {
                let shift = (n as f64 - (self.series.len() - 1) as f64 / 2.0) * 8.0;
                for &(at, value) in points.iter().flatten() {
                    let (x, y) = (x(at) + shift, y(value));
                    let _ = write!(out, "<circle cx='{x:.1}' cy='{y:.1}' r='3.5' fill='{colour}'/>");
                }
            }
            let (at, row) = (WIDTH - RIGHT + 8.0, TOP + 16.0 * (n as f64 + 0.5));
            let _ = write!(out, "<text x='{at}' y='{row}' fill='{colour}'>{}</text>", escaped(name));
        }
        out + "</svg>"
    }
}

fn path(points: &[Option<(f64, f64)>], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for point in points {
        if let Some((at, value)) = point {
            let _ = write!(path, "{}{:.1} {:.1}", if is_down { 'L' } else { 'M' }, x(*at), y(*value));
        }
        is_down = point.is_some();
    }
    path
}

/// Round numbers up to a largest, five or so.
fn steps(max: f64) -> Vec<f64> {
    let power = 10f64.powf((max / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| max / step <= 6.0).unwrap_or(max);
    (0..=(max / step) as u32).map(|n| f64::from(n) * step).collect()
}

fn number(value: f64) -> String {
    if value >= 1.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value}") }
}

/// Text as it may stand in markup.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#39;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_point_breaks_the_line() {
        let points = [Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 1.0))];
        assert_eq!(path(&points, |x| x, |y| y), "M0.0 1.0L1.0 2.0M3.0 1.0");
    }

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!(steps(15.7), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!(steps(3029.0), [0.0, 1000.0, 2000.0, 3000.0]);
    }

    #[test]
    fn names_can_not_become_markup() {
        let chart = Chart { title: "<b> & 'c'".to_owned(), ..Chart::default() };
        assert!(chart.svg().contains("&lt;b> &amp; &#39;c&#39;"));
    }
}
