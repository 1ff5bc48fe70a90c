//! What all pictures share.

use crate::axis::Axis;
use kuva::backend::svg::SvgBackend;
use kuva::render::layout::Layout;
use kuva::render::render::Scene;
use kuva::render::theme::Theme;

/// Pixels. A page shows a picture about this wide; letters keep their size there.
pub(crate) const WIDTH: f64 = 840.0;
/// Pixels.
pub(crate) const HEIGHT: f64 = 460.0;

/// The colours of Okabe and Ito, which people with any kind of colour vision can tell apart
/// (jfly.uni-koeln.de/color), without the yellow, which is too pale for a line on white.
const COLOURS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// The colour of the series with this number, from 0. There are seven; then they come again, and
/// lines are told apart by their dashes.
pub(crate) fn colour(series: usize) -> &'static str {
    COLOURS[series % COLOURS.len()]
}

/// `stroke-dasharray` of the series with this number, from 0; `None`: solid.
pub(crate) fn dashes(series: usize) -> Option<&'static str> {
    [None, Some("7 4"), Some("2 3")][series / COLOURS.len() % 3]
}

/// The part of the look that every chart has in common.
pub(crate) fn dress(layout: Layout, x: &Axis, y: &Axis) -> Layout {
    let theme = Theme {
        grid_color: "#e4e4e4".into(),
        axis_color: "#444444".into(),
        tick_color: "#444444".into(),
        text_color: "#222222".into(),
        legend_border: "none".into(),
        ..Theme::light()
    };
    let layout = layout
        .with_theme(theme)
        .with_font_family("DejaVu Sans, Verdana, Helvetica, Arial, sans-serif")
        .with_title_size(17)
        .with_label_size(14)
        .with_tick_size(13)
        .with_body_size(13);
    y.put_on_y(x.put_on_x(layout))
}

/// The picture as SVG text.
pub(crate) fn svg(scene: &Scene) -> String {
    let mut text = renumber(&SvgBackend.render_scene(scene), "kuva-clip-");
    text.push('\n');
    text
}

/// kuva numbers its clip paths through the life of the process. Here they count from 1 in each
/// picture, so that its bytes depend on its data alone.
fn renumber(svg: &str, name: &str) -> String {
    let mut parts = svg.split(name);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut seen = Vec::new();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let place = seen.iter().position(|known| *known == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        out.push_str(&format!("{name}{}{rest}", place + 1));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_paths_count_from_one_in_each_picture() {
        assert_eq!(renumber("a c-7 b c-12 c-7\"", "c-"), "a c-1 b c-2 c-1\"");
        assert_eq!(renumber("nothing", "c-"), "nothing");
    }

    #[test]
    fn no_two_of_the_first_twenty_one_series_look_the_same() {
        let looks: Vec<_> = (0..21).map(|series| (colour(series), dashes(series))).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "{index}");
        }
    }
}
