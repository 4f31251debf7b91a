//! How old the pictures are that each player shows: a bar from half of them to 99 of 100.

use std::error::Error;

use anyhow::anyhow;
use plotters::prelude::{
    ChartBuilder, Color, IntoDrawingArea, IntoLogRange, Rectangle, SVGBackend, WHITE,
};

use super::plots::{COLOURS, SIZE};
use crate::glass::Shown;

/// Half the height of a bar, of the room that a player has.
const HALF: f64 = 0.3;

/// The plot; `None` where nothing was shown.
pub(super) fn plot(shown: &[Shown]) -> anyhow::Result<Option<String>> {
    let shown: Vec<_> = shown.iter().filter(|it| it.ages.count() > 0).collect();
    if shown.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    onto(&mut svg, &shown).map_err(|error| anyhow!("the players cannot be drawn: {error}"))?;
    Ok(Some(svg))
}

fn onto(svg: &mut String, shown: &[&Shown]) -> Result<(), Box<dyn Error>> {
    let ms = |it: &Shown, quantile| (it.ages.at(quantile) as f64 / 1e3).max(1.0);
    let most = shown.iter().map(|it| ms(it, 0.99)).fold(10.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let names = |place: &f64| {
        // A name stands at the middle of its bar, and nothing between two of them.
        let at = place.round();
        let player = shown.get(at as usize).filter(|_| (place - at).abs() < 0.01);
        player.map_or_else(String::new, |it| it.player.clone())
    };
    let mut chart = ChartBuilder::on(&area)
        .caption("Age of the picture on the screen, p50 to p99", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(100)
        .build_cartesian_2d((1.0..most * 1.5).log_scale(), -0.5..shown.len() as f64 - 0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_desc("milliseconds")
        .y_labels(shown.len() * 2)
        .y_label_formatter(&names)
        .light_line_style(WHITE)
        .draw()?;
    for ((at, it), colour) in shown.iter().enumerate().zip(COLOURS.iter().cycle()) {
        let (low, high) = (at as f64 - HALF, at as f64 + HALF);
        let (half, nearly_all) = (ms(it, 0.5), ms(it, 0.99));
        let bars = [
            Rectangle::new([(1.0, low), (half, high)], colour.filled()),
            Rectangle::new([(half, low), (nearly_all, high)], colour.mix(0.35).filled()),
        ];
        chart.draw_series(bars)?;
    }
    area.present()?;
    Ok(())
}
