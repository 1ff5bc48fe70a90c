//! Dots with whiskers in rows: many things compared in several respects.

use crate::axis::Axis;
use crate::look::{self, colour};
use kuva::plot::ScatterPlot;
use kuva::render::annotations::ReferenceLine;
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

/// The most panels side by side.
const COLUMNS: usize = 3;
/// Pixels for the names of the rows, left of each line of panels.
const NAMES: f64 = 130.0;
/// Pixels for one row of dots.
const ROW: f64 = 21.0;
/// Pixels above and below a panel's rows: its title, the axis.
const FRAME: f64 = 110.0;

/// A value and from where to where it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// The value: a median, say.
    pub value: f64,
    /// The least that was seen.
    pub low: f64,
    /// The most that was seen.
    pub high: f64,
}

/// One respect in which the rows are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct DotPanel {
    /// What is above it.
    pub title: String,
    /// A dot for each row; `None` where there is nothing to show.
    pub dots: Vec<Option<Dot>>,
}

/// Panels side by side over the same rows and the same axis.
#[derive(Clone, Debug, PartialEq)]
pub struct DotPanels {
    title: String,
    x: Axis,
    rows: Vec<(String, usize)>,
    panels: Vec<DotPanel>,
    reference: f64,
}

impl DotPanels {
    /// No rows and no panels yet. A panel is narrow: what its axis shows is better said in the title.
    ///
    /// `reference` is the value at which every panel has a dashed line.
    #[must_use]
    pub fn new(title: impl Into<String>, x: Axis, reference: f64) -> Self {
        Self { title: title.into(), x, rows: Vec::new(), panels: Vec::new(), reference }
    }

    /// One more row, below the others, in the colour of this number.
    #[must_use]
    pub fn row(mut self, name: impl Into<String>, series: usize) -> Self {
        self.rows.push((name.into(), series));
        self
    }

    /// One more panel, with a dot for each row.
    #[must_use]
    pub fn panel(mut self, panel: DotPanel) -> Self {
        self.panels.push(panel);
        self
    }

    /// The picture as SVG text.
    #[must_use]
    pub fn svg(&self) -> String {
        let columns = self.panels.len().clamp(1, COLUMNS);
        let lines = self.panels.len().div_ceil(columns);
        let plots: Vec<Vec<Plot>> = self.panels.iter().map(|panel| self.plots(panel)).collect();
        let layouts =
            self.panels.iter().zip(&plots).map(|(panel, plots)| self.layout(panel, plots));
        let layouts = layouts.collect();
        let width = (look::WIDTH - NAMES) / COLUMNS as f64;
        let height = FRAME + ROW * self.rows.len() as f64;
        let figure = Figure::new(lines, columns)
            .with_title(self.title.clone())
            .with_title_size(17)
            .with_plots(plots)
            .with_layouts(layouts)
            .with_shared_y_all()
            .with_cell_size(width, height)
            .with_col_width(0, width + NAMES);
        look::svg(&figure.render())
    }

    fn layout(&self, panel: &DotPanel, plots: &[Plot]) -> Layout {
        let names = self.rows.iter().rev().map(|(name, _)| name.clone()).collect();
        let reference = ReferenceLine::vertical(self.reference).with_color("#888888");
        let layout = Layout::auto_from_plots(plots)
            .with_title(panel.title.clone())
            .with_y_categories(names)
            .with_y_axis_min(0.5)
            .with_y_axis_max(self.rows.len() as f64 + 0.5)
            .with_reference_line(reference);
        look::dress(layout, &self.x, &Axis::default()).with_title_size(14)
    }

    fn plots(&self, panel: &DotPanel) -> Vec<Plot> {
        let mut plots = Vec::new();
        for (index, ((_, series), dot)) in self.rows.iter().zip(&panel.dots).enumerate() {
            let Some(dot) = dot else { continue };
            // The first row is at the top, and kuva counts categories upwards from 1.
            let height = (self.rows.len() - index) as f64;
            let plot = ScatterPlot::new()
                .with_data([(dot.value, height)])
                .with_x_err_asymmetric([(dot.value - dot.low, dot.high - dot.value)])
                .with_color(colour(*series))
                .with_size(4.5);
            plots.push(Plot::Scatter(plot));
        }
        plots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_dot_keeps_its_name_and_its_place() {
        let dot = Dot { value: 0.9, low: 0.8, high: 1.0 };
        let chart = |dots| {
            DotPanels::new("Title", Axis::new("share"), 1.0)
                .row("first", 0)
                .row("second", 1)
                .panel(DotPanel { title: "panel".into(), dots })
                .svg()
        };
        let (both, one) = (chart(vec![Some(dot), Some(dot)]), chart(vec![None, Some(dot)]));
        for text in ["Title", "share", "panel", "first", "second"] {
            assert!(one.contains(&format!(">{text}<")), "{text} is missing in {one}");
        }
        assert!(both.contains(colour(0)));
        assert!(!one.contains(colour(0)), "there is nothing of the first row to see");
        assert!(!one.contains("NaN"), "{one}");
    }
}
