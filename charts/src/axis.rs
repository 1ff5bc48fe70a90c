//! An axis: what is on it, and how its values are written.

use kuva::render::layout::{Layout, TickFormat};
use std::sync::Arc;

/// What the values of an axis are, which decides how they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers: `0.5`, `20`, `10,000`.
    #[default]
    Number,
    /// Durations in seconds, written with the unit that suits them: `20 µs`, `1 ms`, `2 s`.
    Seconds,
    /// Percentiles, given as [`Unit::percentile`], for a logarithmic axis: `90 %`, `99 %`, `99.9 %`
    /// stand at equal distances.
    Percentile,
    /// Ratios, given as such and written as percentages: `95 %`.
    Ratio,
}

impl Unit {
    /// Where a percentile (from 0 to below 100) stands on an axis of [`Unit::Percentile`].
    #[must_use]
    pub fn percentile(percent: f64) -> f64 {
        100.0 / (100.0 - percent)
    }

    /// A value as it is written at a tick, and in a table beside the picture.
    #[must_use]
    pub fn write(self, value: f64) -> String {
        match self {
            Self::Number => grouped(value),
            Self::Seconds if value == 0.0 => "0".to_owned(),
            Self::Seconds if value < 1e-6 => format!("{} ns", shortest(value * 1e9)),
            Self::Seconds if value < 1e-3 => format!("{} µs", shortest(value * 1e6)),
            Self::Seconds if value < 1.0 => format!("{} ms", shortest(value * 1e3)),
            Self::Seconds => format!("{} s", shortest(value)),
            Self::Percentile => format!("{} %", shortest(100.0 - 100.0 / value)),
            Self::Ratio => format!("{} %", shortest(value * 100.0)),
        }
    }
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    label: String,
    unit: Unit,
    log: bool,
    range: Option<(f64, f64)>,
    step: Option<f64>,
}

impl Axis {
    /// A linear axis for plain numbers. The label names the quantity and its unit.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// What the values are.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Makes it logarithmic. Values that are not above 0 have no place there and are left out.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// Shows exactly this range; otherwise what the data needs.
    #[must_use]
    pub fn range(mut self, from: f64, to: f64) -> Self {
        self.range = Some((from, to));
        self
    }

    /// The distance between two ticks of a linear axis; otherwise what looks round.
    #[must_use]
    pub fn step(mut self, step: f64) -> Self {
        self.step = Some(step);
        self
    }

    /// Whether the value has a place on it.
    pub(crate) fn shows(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    pub(crate) fn put_on_x(&self, layout: Layout) -> Layout {
        let mut layout = layout.with_x_label(self.label.clone()).with_x_tick_format(self.format());
        if self.log {
            layout = layout.with_log_x();
        }
        if let Some(step) = self.step {
            layout = layout.with_x_tick_step(step);
        }
        match self.range {
            Some((from, to)) => layout.with_x_axis_min(from).with_x_axis_max(to),
            None => layout,
        }
    }

    pub(crate) fn put_on_y(&self, layout: Layout) -> Layout {
        let mut layout = layout.with_y_label(self.label.clone()).with_y_tick_format(self.format());
        if self.log {
            layout = layout.with_log_y();
        }
        if let Some(step) = self.step {
            layout = layout.with_y_tick_step(step);
        }
        match self.range {
            Some((from, to)) => layout.with_y_axis_min(from).with_y_axis_max(to),
            None => layout,
        }
    }

    fn format(&self) -> TickFormat {
        let unit = self.unit;
        TickFormat::Custom(Arc::new(move |value| unit.write(value)))
    }
}

/// At most four digits behind the point, and no nought at the end that says nothing.
fn shortest(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// As [`shortest`], thousands set apart by commas.
fn grouped(value: f64) -> String {
    let text = shortest(value);
    let (whole, rest) = match text.find('.') {
        Some(point) => text.split_at(point),
        None => (text.as_str(), ""),
    };
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut groups = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            groups.push(',');
        }
        groups.push(digit);
    }
    format!("{sign}{groups}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_with_what_suits_them() {
        for (unit, value, says) in [
            (Unit::Number, 0.0, "0"),
            (Unit::Number, 0.25, "0.25"),
            (Unit::Number, -1234.5, "-1,234.5"),
            (Unit::Number, 100.0, "100"),
            (Unit::Number, 1_000_000.0, "1,000,000"),
            (Unit::Seconds, 0.0, "0"),
            (Unit::Seconds, 5e-7, "500 ns"),
            (Unit::Seconds, 2e-5, "20 µs"),
            (Unit::Seconds, 1e-3, "1 ms"),
            (Unit::Seconds, 2.5, "2.5 s"),
            (Unit::Percentile, Unit::percentile(50.0), "50 %"),
            (Unit::Percentile, Unit::percentile(99.0), "99 %"),
            (Unit::Percentile, Unit::percentile(99.99), "99.99 %"),
            (Unit::Ratio, 0.95, "95 %"),
        ] {
            assert_eq!(unit.write(value), says);
        }
    }

    #[test]
    fn nothing_at_or_below_nought_is_on_a_logarithmic_axis() {
        assert!(Axis::new("").shows(0.0));
        assert!(!Axis::new("").log().shows(0.0));
        assert!(!Axis::new("").shows(f64::NAN));
    }
}
