//! How every picture in the notes is drawn: one look, one set of colours.
//!
//! A chart says what it shows (title, axes, series); how that looks is decided here, once. Pictures
//! are SVG text, the same bytes for the same data, so that a test can tell whether a picture is
//! stale.
//!
//! ```
//! use charts::{Axis, Line, LineChart, Unit};
//!
//! let chart = LineChart::new("Memory over time")
//!     .x(Axis::new("minutes since the start"))
//!     .y(Axis::new("resident set, MiB"))
//!     .line(Line::new("RSS", vec![(0.0, 3.1), (1.0, 3.2), (2.0, 3.2)]));
//! assert!(chart.svg().starts_with("<svg"));
//!
//! let latency = LineChart::new("Latency over time")
//!     .x(Axis::new("minutes since the start"))
//!     .y(Axis::new("latency").unit(Unit::Seconds).log());
//! # let _ = latency;
//! ```

#![forbid(unsafe_code)]

mod axis;
mod dots;
mod line;
mod look;

pub use axis::{Axis, Unit};
pub use dots::{Dot, DotPanel, DotPanels};
pub use line::{Line, LineChart};
