//! Where a chunk's time goes, as stacked bars: the fastest tenth of all deliveries on the left, the slowest
//! on the right.

use std::error::Error;

use anyhow::anyhow;
use plotters::prelude::{ChartBuilder, Color, IntoDrawingArea, Rectangle, SVGBackend, WHITE};

use super::plots::{COLOURS, SIZE, key};
use crate::breakdown::stages::{STAGES, Stages};

/// The plot.
pub(super) fn stack(of: &Stages) -> anyhow::Result<String> {
    let mut svg = String::new();
    onto(&mut svg, of).map_err(|error| anyhow!("the stages cannot be drawn: {error}"))?;
    Ok(svg)
}

fn onto(svg: &mut String, of: &Stages) -> Result<(), Box<dyn Error>> {
    let bars = of.tenths.len().max(1);
    let most = of.tenths.iter().map(|part| part.iter().sum::<f64>()).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("Where the time goes", ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..bars as f64, 0.0..most * 1.4)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("tenths of all deliveries, the fastest first")
        .y_desc("microseconds, mean")
        .x_label_formatter(&|_| String::new())
        .light_line_style(WHITE)
        .draw()?;
    for (index, (name, colour)) in STAGES.iter().zip(COLOURS).enumerate() {
        let bars = of.tenths.iter().enumerate().map(|(bar, part)| {
            let below: f64 = part.iter().take(index).sum();
            let top = below + part.get(index).copied().unwrap_or_default();
            let left = bar as f64;
            Rectangle::new([(left + 0.1, below), (left + 0.9, top)], colour.filled())
        });
        let square = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
        chart.draw_series(bars)?.label(*name).legend(square);
    }
    key(&mut chart)?;
    area.present()?;
    Ok(())
}
