//! The plots of the page, as SVG. Its texts are texts: whoever shows it has the fonts.

use std::{error::Error, ops::Range};

use anyhow::anyhow;
use plotters::{
    chart::ChartContext,
    coord::{
        CoordTranslate,
        ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    },
    prelude::{
        BLACK, ChartBuilder, Color, IntoDrawingArea, IntoLogRange, LineSeries, PathElement,
        RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use crate::{
    ages::{Ages, Course},
    document::Document,
    measure::Measured,
};

pub(super) const SIZE: (u32, u32) = (560, 360);

/// Told apart by people who see few colours as well.
pub(super) const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(26, 133, 58),
    RGBColor(146, 64, 160),
    RGBColor(230, 140, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 160, 170),
    RGBColor(160, 110, 60),
];

/// A name, and what it has at each place.
type Line = (String, Vec<(f64, f64)>);

/// Lines over a logarithmic scale.
struct Plot<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    x_told: fn(f64) -> String,
    lines: Vec<Line>,
}

/// Percentiles of a scenario's latency: from half of all chunks to one of ten thousand.
pub(super) fn latency(document: &Document, scenario: &str) -> anyhow::Result<String> {
    let lines = document.relays(scenario).into_iter().map(|relay| {
        let mut ages = Ages::default();
        document.of(scenario, relay).for_each(|run| ages.add(&run.measured.seen.ages));
        let least = 10.0 / ages.count().max(1) as f64;
        // So many chunks there is one of that is older: evenly on the scale.
        let parts = (0..=40).map(|step| 2.0 * 5_000_f64.powf(f64::from(step) / 40.0));
        let points = parts
            .filter(|part| 1.0 / part >= least)
            .map(|part| (part, ages.at(1.0 - 1.0 / part).max(1) as f64 / 1e3));
        (relay.to_owned(), points.collect())
    });
    let x_told = |part: f64| format!("{}", 100.0 - 100.0 / part);
    let (title, x, y) = ("Latency", "percentile", "ms");
    let plot = Plot { title, x, y, x_told, lines: lines.collect() };
    plot.draw(plot.x_range().log_scale())
}

/// How old the newest bytes were, over time.
pub(super) fn course(document: &Document, scenario: &str) -> anyhow::Result<String> {
    let lines = document.relays(scenario).into_iter().map(|relay| {
        let mut course = Course::default();
        document.of(scenario, relay).for_each(|run| course.add(&run.measured.seen.course));
        let points = course.tenths().map(|(at, tenth)| {
            (at, (tenth.sum_us as f64 / tenth.count.max(1) as f64).max(1.0) / 1e3)
        });
        (relay.to_owned(), points.collect())
    });
    let x_told = |seconds: f64| format!("{seconds:.1}");
    let (title, x, y) = ("Age of the newest byte when it came", "seconds", "ms, mean");
    let plot = Plot { title, x, y, x_told, lines: lines.collect() };
    plot.draw(plot.x_range())
}

/// CPU for the same bytes against the number of consumers; nothing where all have the same number.
pub(super) fn cost(document: &Document) -> anyhow::Result<Option<String>> {
    let mut lines = Vec::<Line>::new();
    for name in document.scenarios() {
        let Some(scenario) = document.scenarios.get(name).filter(|it| !it.peak) else { continue };
        for relay in document.relays(name) {
            let cost = document.spread(name, relay, Measured::cpu_seconds_per_gb);
            let Some(cost) = cost.filter(|cost| cost.median > 0.0) else { continue };
            let line = format!("{relay}, {} B", scenario.chunk);
            let point = ((scenario.consumers * scenario.streams) as f64, cost.median);
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, points)) => points.push(point),
                None => lines.push((line, vec![point])),
            }
        }
    }
    lines.retain_mut(|(_, points)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|a, b| a.0 == b.0);
        points.len() > 1
    });
    if lines.is_empty() {
        return Ok(None);
    }
    let x_told = |consumers: f64| format!("{consumers}");
    let (title, x, y) = ("CPU for the same bytes", "consumers", "CPU seconds per GB");
    let plot = Plot { title, x, y, x_told, lines };
    plot.draw(plot.x_range().log_scale()).map(Some)
}

impl Plot<'_> {
    fn x_range(&self) -> Range<f64> {
        ends(self.lines.iter().flat_map(|(_, points)| points).map(|(x, _)| *x))
    }

    fn draw<X>(&self, x_range: X) -> anyhow::Result<String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut svg = String::new();
        self.onto(&mut svg, x_range)
            .map_err(|error| anyhow!("the plot {:?} cannot be drawn: {error}", self.title))?;
        Ok(svg)
    }

    fn onto<X>(&self, svg: &mut String, x_range: X) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let ys = ends(self.lines.iter().flat_map(|(_, points)| points).map(|(_, y)| *y));
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(x_range, (ys.start * 0.8..ys.end * 1.25).log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x| (self.x_told)(*x))
            .light_line_style(WHITE)
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.into_iter().cycle()) {
            let series = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            chart
                .draw_series(series)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        key(&mut chart)?;
        area.present()?;
        Ok(())
    }
}

/// Which colour is what.
pub(super) fn key<'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, C>,
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .draw()?;
    Ok(())
}

/// From the least to the greatest, and never nothing in between.
fn ends(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        (least, most) = (least.min(value), most.max(value));
    }
    if least > most {
        return 1.0..10.0;
    }
    if most > least { least..most } else { least..least + 1.0 }
}
