//! Lines over an axis: time series, curves, distributions.

use crate::axis::Axis;
use crate::look::{self, colour, dashes};
use kuva::plot::legend::LegendPosition;
use kuva::plot::line::LineStyle;
use kuva::plot::scatter::{MarkerShape, ScatterPlot};
use kuva::plot::{LegendEntry, LegendShape, LinePlot};
use kuva::render::annotations::ReferenceLine;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::render_multiple;

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    spread: Option<Vec<(f64, f64)>>,
    series: Option<usize>,
}

impl Line {
    /// A series with its name in the legend and its points, ordered by x.
    #[must_use]
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, spread: None, series: None }
    }

    /// From where to where each point's y was seen, drawn as a whisker; as many as points.
    #[must_use]
    pub fn spread(mut self, spread: Vec<(f64, f64)>) -> Self {
        self.spread = Some(spread);
        self
    }

    /// Takes the colour and the dashes of this number, so that a thing looks the same in every
    /// picture; otherwise the number of the line in its chart.
    #[must_use]
    pub fn series(mut self, number: usize) -> Self {
        self.series = Some(number);
        self
    }
}

/// Lines in one pair of axes, with a legend if there is more than one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineChart {
    title: String,
    x: Axis,
    y: Axis,
    lines: Vec<Line>,
    markers: bool,
    moments: Vec<(f64, String)>,
}

impl LineChart {
    /// A chart without lines.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// The axis that goes right.
    #[must_use]
    pub fn x(mut self, axis: Axis) -> Self {
        self.x = axis;
        self
    }

    /// The axis that goes up.
    #[must_use]
    pub fn y(mut self, axis: Axis) -> Self {
        self.y = axis;
        self
    }

    /// One more line.
    #[must_use]
    pub fn line(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Marks every point with a dot: for few points that were measured, not for a time series.
    #[must_use]
    pub fn markers(mut self) -> Self {
        self.markers = true;
        self
    }

    /// A vertical dashed line with a word beside it: something happened at this x.
    #[must_use]
    pub fn moment(mut self, x: f64, what: impl Into<String>) -> Self {
        self.moments.push((x, what.into()));
        self
    }

    /// The picture as SVG text.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut plots = Vec::new();
        let mut legend = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let series = line.series.unwrap_or(index);
            plots.extend(self.plots(line, series));
            legend.push(LegendEntry {
                label: line.name.clone(),
                color: colour(series).to_owned(),
                shape: LegendShape::Line,
                dasharray: dashes(series).map(str::to_owned),
            });
        }
        let mut layout = Layout::auto_from_plots(&plots)
            .with_width(look::WIDTH)
            .with_height(look::HEIGHT)
            .with_title(self.title.clone());
        if legend.len() > 1 {
            layout = layout
                .with_legend_entries(legend)
                .with_legend_position(LegendPosition::OutsideRightTop)
                .with_legend_box(false);
        }
        for (x, what) in &self.moments {
            let line = ReferenceLine::vertical(*x).with_label(what.clone()).with_color("#777777");
            layout = layout.with_reference_line(line);
        }
        let layout = look::dress(layout, &self.x, &self.y);
        look::svg(&render_multiple(plots, layout))
    }

    fn plots(&self, line: &Line, series: usize) -> Vec<Plot> {
        let shown = |point: &(f64, f64)| self.x.shows(point.0) && self.y.shows(point.1);
        let points: Vec<(f64, f64)> = line.points.iter().copied().filter(shown).collect();
        let style =
            dashes(series).map_or(LineStyle::Solid, |dashes| LineStyle::Custom(dashes.to_owned()));
        let mut drawn = LinePlot::new()
            .with_data(points.clone())
            .with_color(colour(series))
            .with_stroke_width(2.0)
            .with_line_style(style);
        if let Some(spread) = &line.spread {
            let whiskers = line.points.iter().zip(spread).filter(|(point, _)| shown(point));
            drawn = drawn
                .with_y_err_asymmetric(whiskers.map(|((_, y), (low, high))| (y - low, high - y)));
        }
        let mut plots = vec![Plot::Line(drawn)];
        if self.markers {
            let shape =
                [MarkerShape::Circle, MarkerShape::Square, MarkerShape::Triangle][series % 3];
            let dots = ScatterPlot::new().with_data(points).with_color(colour(series));
            plots.push(Plot::Scatter(dots.with_size(4.0).with_marker(shape)));
        }
        plots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> LineChart {
        LineChart::new("Title")
            .x(Axis::new("across"))
            .y(Axis::new("upwards").log())
            .line(Line::new("one", vec![(0.0, 1.0), (1.0, 10.0)]))
    }

    #[test]
    fn the_same_data_makes_the_same_bytes() {
        assert_eq!(chart().svg(), chart().svg());
    }

    #[test]
    fn it_says_what_it_was_told_to() {
        let svg = chart().line(Line::new("two", vec![(0.0, 5.0)])).moment(0.5, "storm").svg();
        for text in ["Title", "across", "upwards", "one", "two", "storm"] {
            assert!(svg.contains(&format!(">{text}<")), "{text} is missing in {svg}");
        }
        assert!(!chart().svg().contains(">one<"), "a single line needs no legend");
    }

    #[test]
    fn a_point_without_a_place_on_the_axis_changes_nothing() {
        let line = |points| chart().line(Line::new("two", points)).svg();
        let spoilt = line(vec![(0.0, 5.0), (0.5, 0.0), (0.7, f64::NAN), (1.0, 6.0)]);
        assert_eq!(spoilt, line(vec![(0.0, 5.0), (1.0, 6.0)]));
    }

    #[test]
    fn a_chart_without_data_is_a_picture_all_the_same() {
        let svg = LineChart::new("Nothing yet").line(Line::new("one", vec![])).svg();
        assert!(svg.contains(">Nothing yet<"));
        assert!(!svg.contains("NaN"));
    }
}
